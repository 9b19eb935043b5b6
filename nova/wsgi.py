"""The web process: granian --interface wsgi nova.wsgi:application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
application = get_wsgi_application()
