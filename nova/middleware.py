"""What every answer carries: the request's id, and how much of a limit is left."""

import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from nova import limits

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(request: object) -> str:
    """The id of a request (plain or DRF's), as its answer's X-Request-ID and its log lines show it."""
    return getattr(request, "request_id", "")


class RequestIdMiddleware:
    """Takes the client's X-Request-ID if it is harmless, else makes one, and answers with it.

    It stands before django_structlog's RequestMiddleware, which binds the header's value to every log line: the header
    is replaced, so that both agree.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        identifier = given if _SANE.fullmatch(given) else uuid4().hex
        request.META["HTTP_X_REQUEST_ID"] = identifier
        request.request_id = identifier  # type: ignore[attr-defined]
        answer = self.get_response(request)
        if isinstance(answer, HttpResponseBase):
            return _marked(request, answer)
        return _marked_later(request, answer)


async def _marked_later(request: HttpRequest, answer: Awaitable[HttpResponseBase]) -> HttpResponseBase:
    return _marked(request, await answer)


def _marked(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    answer["X-Request-ID"] = request_id(request)
    for name, value in limits.headers(limits.verdict_of(request)).items():
        answer[name] = value
    return answer
