"""What every answer carries (the request's id, how much of a limit is left), what cannot be read, and for how long a
call waits."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from random import getrandbits
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware import common

from nova import limits, postgres
from nova.rest import Code, Problem, error_response, request_id

# Within this a call's longest question is answered, or PostgreSQL is not well.
PATIENCE_SECONDS = 3.0
# What an orchestrator probes and a monitor scrapes, each process by its own address.
_OF_THE_PROCESS = frozenset(("/livez", "/readyz", "/metrics"))
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def identified(request: HttpRequest) -> str:
    """The id that the client gave its request if it is harmless, else a new one."""
    return identifier_of(request.META)


def identifier_of(environ: Mapping[str, Any]) -> str:
    """The same by the request's WSGI environment."""
    given: str = environ.get("HTTP_X_REQUEST_ID", "")
    # It must be unique and no more: asking the system for bytes that nobody can guess takes longer than the rest.
    return given if given and _SANE.fullmatch(given) else f"{getrandbits(128):032x}"


class _Either(ABC):
    """A middleware for web servers of both kinds."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    @abstractmethod
    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The answer, or what becomes it."""


class RequestIdMiddleware(_Either):
    """Takes the client's X-Request-ID if it is harmless, else makes one, and answers with it.

    It stands before django_structlog's RequestMiddleware, which binds the header's value to every log line: the header
    is replaced, so that both agree.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        identifier = identified(request)
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


class ReadableMiddleware(_Either):
    """Refuses what nobody behind it could read: a body of unannounced length (chunked), which WSGI would hand on as an
    empty one, and a NUL in the query, which PostgreSQL's texts cannot hold."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        problem = _unreadable(request)
        if problem is None:
            return self.get_response(request)
        answer = error_response(request, problem)
        return _ready(answer) if self._async else answer


def _unreadable(request: HttpRequest) -> Problem | None:
    if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
        return Problem(411, Code.INVALID_REQUEST, "Send the body with a Content-Length, not chunked.")
    if "%00" in request.META.get("QUERY_STRING", ""):
        name = next((name for name, values in request.GET.lists() if "\0" in "".join(values)), None)
        return Problem(400, Code.INVALID_REQUEST, "A query may not hold a NUL.", name)
    return None


async def _ready(answer: HttpResponseBase) -> HttpResponseBase:
    return answer


class ImpatientMiddleware(_Either):
    """A call waits for PostgreSQL only so long for each answer: while it hangs, those that need it would hold every
    thread of the process, and keep waiting who does without, as kept feeds do. The admin may count for longer."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info.startswith("/admin/"):
            return self.get_response(request)
        if self._async:
            return self._later(request)
        with postgres.within(PATIENCE_SECONDS):
            return self.get_response(request)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        with postgres.within(PATIENCE_SECONDS):
            answer = self.get_response(request)
            return answer if isinstance(answer, HttpResponseBase) else await answer


class CommonMiddleware(common.CommonMiddleware):
    """Django's. What is about the process and not about the site may be asked for by any name: who asks comes by an
    address that nobody knows beforehand, and no answer holds the name."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in _OF_THE_PROCESS else super().process_request(request)
