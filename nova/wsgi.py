"""The web process: granian --interface wsgi nova.wsgi:application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
_django = get_wsgi_application()

# Importable only once Django is set up.
from feed.quick import QuickFeed  # noqa: E402

application = QuickFeed(_django)
