"""The first page of a kept feed, answered before Django is asked: most calls, at a small part of the cost.

It gives what the long way would give: the token must be known to this process, the call is counted, the request has its
id, the metrics are those of every call. Whatever is not plain (another token, a cursor, an explanation, a limit that is
used up, a feed that must be made, Redis away) is left to Django, where no call is counted twice.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from io import BytesIO
from time import perf_counter
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, HttpResponseBase
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from rest_framework.exceptions import ValidationError

from feed.api.feed import SCOPE, asked_for, body
from nova import identity, limits
from nova.middleware import identifier_of
from nova.rest import JSON
from nova.tally import Answered
from ranking import pipeline

# Each address and the view that it belongs to in the metrics.
_VIEWS = {"/api/feed": "feed", "/api/v1/feed": "v1:feed"}

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class QuickFeed:
    """A WSGI application around Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._headers = {scheme: _headers_of_all(scheme) for scheme in ("http", "https")}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] in _VIEWS and environ["REQUEST_METHOD"] == "GET":
            answer = self._quick(environ)
            if answer is not None:
                headers, content = answer
                start_response("200 OK", headers)
                return (content,)
        return self._django(environ, start_response)

    def _quick(self, environ: Environ) -> tuple[list[tuple[str, str]], bytes] | None:
        began = perf_counter()
        viewer = _viewer(environ)
        asked = _asked(environ) if viewer else None
        if viewer is None or asked is None:
            return None
        counting = None if viewer.is_service else limits.counting(viewer.id, SCOPE)
        found = pipeline.ready(viewer.id, limit=asked["limit"], algo=asked.get("algo"), beside=counting)
        if found is None:
            # A server that is only slow still counts what it was sent: it must not be sent again.
            if counting:
                limits.leave_redis()
            return None
        verdict = limits.counted(environ, SCOPE, found.beside) if counting else None
        if found.ready is None or (verdict and not verdict.allowed):
            return None
        page = found.ready
        content = body(page.posts, _about(page), perf_counter() - began)
        scheme = _scheme(environ)
        headers = [
            *self._headers[scheme],
            *limits.headers(verdict).items(),
            ("Content-Length", str(len(content))),
            ("X-Request-ID", identifier_of(environ)),
        ]
        kind = answered(environ["PATH_INFO"], scheme, page.about.algorithm, page.about.experiment)
        kind.count(perf_counter() - began, len(content))
        return headers, content


@cache
def answered(path: str, scheme: str, algorithm: str, experiment: str) -> Answered:
    """Where answers of a kind are counted."""
    return Answered(_VIEWS[path], scheme, pipeline.counters(algorithm, experiment))


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


def _asked(environ: Environ) -> Mapping[str, Any] | None:
    """What a plain call asks for; None for one that is not plain, or not right."""
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    if settings.USE_X_FORWARDED_HOST or not _is_allowed(environ.get("HTTP_HOST", "")):
        return None
    query = environ.get("QUERY_STRING", "")
    # Refused by `nova.middleware`.
    if "%00" in query:
        return None
    try:
        asked = asked_for(query)
    except (ValidationError, SuspiciousOperation):
        return None
    plain = "cursor" not in asked and "since" not in asked and asked["explain"] != "1"
    return asked if plain else None


@lru_cache(256)
def _is_allowed(host: str) -> bool:
    return validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


def _viewer(environ: Environ) -> identity.Viewer | None:
    """The bearer of a token that this process has checked lately, acting for nobody else."""
    if "HTTP_X_ACT_FOR" in environ:
        return None
    return identity.known(environ.get("HTTP_AUTHORIZATION", ""))


def _scheme(environ: Environ) -> str:
    """As `HttpRequest.scheme` finds it."""
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure = settings.SECURE_PROXY_SSL_HEADER
        if name in environ:
            return "https" if environ[name].split(",", 1)[0].strip() == secure else "http"
    return str(environ["wsgi.url_scheme"])


def _headers_of_all(scheme: str) -> list[tuple[str, str]]:
    """What Django's own middleware puts on every answer; asked of it, so that the settings are read in one place."""
    forwarded = {"HTTP_X_FORWARDED_PROTO": scheme} if settings.SECURE_PROXY_SSL_HEADER else {}
    request = WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(), "wsgi.url_scheme": scheme, **forwarded})
    plain = XFrameOptionsMiddleware(lambda _: HttpResponse(content_type=JSON))
    answer = SecurityMiddleware(plain)(request)
    assert isinstance(answer, HttpResponseBase)  # all of it is synchronous
    return list(answer.headers.items())
