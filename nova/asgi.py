"""The process for server-sent events: granian --interface asgi nova.asgi:application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
application = get_asgi_application()
