"""The process for server-sent events: granian --interface asgi --loop asyncio nova.asgi:application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
_django = get_asgi_application()

# Only now: its imports need Django to be set up.
from feed.stream.asgi import Streams  # noqa: E402

application = Streams(_django)
