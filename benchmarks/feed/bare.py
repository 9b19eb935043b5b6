"""The ceiling: Django with one view and no middleware, which answers BENCH_BYTES bytes that lie ready.

granian --interface wsgi benchmarks.feed.bare:application
"""

import os
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="signs nothing",
    USE_I18N=False,
    LOGGING_CONFIG=None,
)
_BODY = b"x" * int(os.environ["BENCH_BYTES"])


def bare(request: HttpRequest) -> HttpResponse:
    """The bytes. Their number is said, or the server would send them in chunks."""
    return HttpResponse(_BODY, content_type="application/json", headers={"Content-Length": str(len(_BODY))})


urlpatterns: list[Any] = [path("bare", bare)]
application = get_wsgi_application()
