"""The first page of a kept feed, answered before the rest of Django is asked: most calls, at a small part of the cost.

It gives what the long way would give: the token must be known to this process, the call is counted, the request has its
id, the metrics are those of every call. Whatever is not plain (another token, a cursor, an explanation, a limit that is
used up, a feed that must be made, Redis away) is left to the long way, which counts no call twice.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from time import perf_counter
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from rest_framework.exceptions import ValidationError

from feed.api.feed import SCOPE, asked_for, body
from nova import identity, limits
from nova.metrics import Answered
from nova.middleware import identified
from nova.rest import JSON
from ranking import pipeline

# Each address and the view that it belongs to in the metrics.
_VIEWS = {"/api/feed": "feed", "/api/v1/feed": "v1:feed"}


class QuickFeedMiddleware:
    """Stands before every other middleware. In an ASGI process it does nothing: there calls must not block."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        schemes = ("http", "https")
        self._headers = {scheme: _headers_of_all(scheme) for scheme in schemes}
        self._answered = {(view, scheme): Answered(name, scheme) for view, name in _VIEWS.items() for scheme in schemes}

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info in _VIEWS and request.method == "GET" and not self._async:
            return self._quick(request) or self.get_response(request)
        return self.get_response(request)

    def _quick(self, request: HttpRequest) -> HttpResponse | None:
        began = perf_counter()
        asked, viewer = _asked(request), _viewer(request)
        if asked is None or viewer is None:
            return None
        counting = None if viewer.is_service else limits.counting(viewer.id, SCOPE)
        found = pipeline.ready(viewer.id, limit=asked["limit"], algo=asked.get("algo"), beside=counting)
        if found is None:
            return None
        verdict = limits.counted(request, SCOPE, found.beside) if counting else None
        if found.ready is None or (verdict and not verdict.allowed):
            return None
        found.ready.count()
        content = body(found.ready.posts, _about(found.ready), perf_counter() - began)
        scheme = str(request.scheme)
        answer = HttpResponse(
            content,
            headers={
                **self._headers[scheme],
                **limits.headers(verdict),
                "Content-Type": JSON,
                "Content-Length": str(len(content)),
                "X-Request-ID": identified(request),
            },
        )
        self._answered[request.path_info, scheme].count(perf_counter() - began, len(content))
        return answer


def _about(page: pipeline.Ready) -> dict[str, Any]:
    return {
        "cursor": page.cursor,
        "has_more": page.cursor is not None,
        "cache_hit": True,
        "algorithm": page.about.algorithm,
        "snapshot": page.about.snapshot,
        "snapshot_replaced": False,
        "generated_at": page.about.generated_at,
        "stale": False,
        "experiment": page.about.experiment or None,
    }


def _asked(request: HttpRequest) -> Mapping[str, Any] | None:
    """What a plain call asks for; None for one that is not plain, or not right."""
    meta = request.META
    if meta.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in meta:
        return None
    if settings.USE_X_FORWARDED_HOST or not _is_allowed(meta.get("HTTP_HOST", "")):
        return None
    try:
        asked = asked_for(meta.get("QUERY_STRING", ""))
    except ValidationError:
        return None
    plain = "cursor" not in asked and "since" not in asked and asked["explain"] != "1"
    return asked if plain else None


@lru_cache(256)
def _is_allowed(host: str) -> bool:
    return validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


def _viewer(request: HttpRequest) -> identity.Viewer | None:
    """The bearer of a token that this process has checked lately, acting for nobody else."""
    if "HTTP_X_ACT_FOR" in request.META:
        return None
    return identity.known(request.META.get("HTTP_AUTHORIZATION", ""))


def _headers_of_all(scheme: str) -> dict[str, str]:
    """What Django's own middleware puts on every answer; asked of it, so that the settings are read in one place."""
    request = WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(), "wsgi.url_scheme": scheme})
    plain = XFrameOptionsMiddleware(lambda _: HttpResponse())
    answer = SecurityMiddleware(plain)(request)
    assert isinstance(answer, HttpResponseBase)  # all of it is synchronous
    return {name: value for name, value in answer.headers.items() if name != "Content-Type"}
