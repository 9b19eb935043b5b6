"""JSON in and out, and the one shape of every error: `{"error", "message", "field"?, "request_id"}`."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any
from uuid import UUID

import orjson
from confluent_kafka import KafkaException
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from redis.exceptions import RedisError
from rest_framework import exceptions, serializers, status
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from nova.depth import DEEPEST, is_deeper
from nova.errors import Overloaded, Transient

JSON = "application/json"


def request_id(request: object) -> str:
    """The id of a request (plain or DRF's), as its answer's X-Request-ID and its log lines show it."""
    return getattr(request, "request_id", "")


class Code(StrEnum):
    """What went wrong, for programs."""

    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    NOT_AUTHENTICATED = "not_authenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


_CODE_OF_STATUS = {
    400: Code.INVALID_REQUEST,
    401: Code.NOT_AUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    406: Code.NOT_ACCEPTABLE,
    409: Code.CONFLICT,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    429: Code.RATE_LIMITED,
    503: Code.UNAVAILABLE,
}


class InvalidJson(exceptions.APIException):
    """The body is no JSON (400 `invalid_json`)."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "The body is not valid JSON."
    default_code = "invalid_json"


class TooLarge(exceptions.APIException):
    """The body is larger than `MAX_BODY_BYTES` (413)."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."


class Conflict(exceptions.APIException):
    """The call contradicts what is there (409)."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This contradicts what is already there."


def _plain(value: Any) -> Any:
    # Lazy translations, decimals, model enums: their text.
    return str(value)


def to_json(data: Any) -> bytes:
    """`data` as JSON; times in RFC 3339 with Z."""
    return orjson.dumps(data, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


class OrjsonRenderer(BaseRenderer):
    media_type = JSON
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else to_json(data)


class OrjsonParser(BaseParser):
    """Reads a body of at most `MAX_BODY_BYTES`, which DRF's own parsers would not check."""

    media_type = JSON

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"The body is larger than {most} bytes.")
        return from_json(body)


def from_json(body: bytes) -> Any:
    """What a JSON body says. Raises `InvalidJson` with the place of the fault, or when it is nested too deep."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if is_deeper(said):
        raise InvalidJson(f"The body is nested more than {DEEPEST} deep.")
    return said


class UuidField(serializers.UUIDField):
    """An id in a body: text, as the schema says. DRF takes a number for one as well, and `true` for 1: an app that
    sends the numbers of its own rows would make ids that each of its installations makes."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the client will see it. `field` names what was wrong, like `events[3].action`."""

    status: int
    code: Code
    message: str
    field: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def body(self, identifier: str) -> dict[str, str]:
        said = {"error": self.code.value, "message": self.message}
        if self.field:
            said["field"] = self.field
        return {**said, "request_id": identifier}


def first_fault(detail: Any, path: str = "") -> tuple[str, str]:
    """The path and the message of the first fault in the detail of a DRF ValidationError."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            if not inner:
                continue
            if isinstance(name, int):
                return first_fault(inner, f"{path}[{name}]")
            if name == "non_field_errors":
                return first_fault(inner, path)
            return first_fault(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            if not inner:
                continue
            # A list of texts says what is wrong with the field itself; a list of objects has one entry per item.
            return first_fault(inner, path if isinstance(inner, str) else f"{path}[{index}]")
    return path, str(detail)


def _unavailable(message: str, seconds: int) -> Problem:
    return Problem(503, Code.UNAVAILABLE, message, headers={"Retry-After": str(seconds)})


def describe(error: BaseException) -> Problem | None:
    """What the client is told of an error; None for an unexpected one, of which it learns nothing."""
    match error:
        case exceptions.ValidationError():
            where, what = first_fault(error.detail)
            return Problem(400, Code.INVALID_REQUEST, what, where or None)
        case InvalidJson():
            return Problem(400, Code.INVALID_JSON, str(error.detail))
        case exceptions.Throttled():
            wait = max(1, round(getattr(error, "wait", None) or 1))
            message = f"Too many requests. Try again in {wait} seconds."
            return Problem(429, Code.RATE_LIMITED, message, headers={"Retry-After": str(wait)})
        case exceptions.APIException():
            return _described_api(error)
        case Http404():
            return Problem(404, Code.NOT_FOUND, "There is nothing here.")
        case PermissionDenied():
            return Problem(403, Code.PERMISSION_DENIED, "You may not do this.")
        case SuspiciousOperation():
            return Problem(400, Code.INVALID_REQUEST, "The request cannot be accepted.")
        case Overloaded():
            return _unavailable("Too much is going on at the moment. Nothing was done; try again.", 5)
        case Transient() | OperationalError() | InterfaceError() | RedisError() | KafkaException():
            return _unavailable("A part that this needs does not answer at the moment. Try again.", 2)
        case IntegrityError():
            return Problem(409, Code.CONFLICT, "What this refers to changed at the same moment. Look again.")
    return None


def _described_api(error: exceptions.APIException) -> Problem:
    code = _CODE_OF_STATUS.get(error.status_code, Code.INTERNAL if error.status_code >= 500 else Code.INVALID_REQUEST)
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    elif error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    where, message = first_fault(error.detail)
    return Problem(error.status_code, code, message, where or None, headers=headers)


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. An unexpected error goes on to Django, which logs it and asks `handler500`."""
    problem = describe(error)
    if problem is None:
        return None
    body = problem.body(request_id(context["request"]))
    return Response(body, status=problem.status, headers=dict(problem.headers), content_type=JSON)


def error_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The same error from a plain Django view."""
    body = to_json(problem.body(request_id(request)))
    return HttpResponse(body, status=problem.status, headers=dict(problem.headers), content_type=JSON)


def json_response(data: Any, status: int = 200) -> HttpResponse:
    """A JSON answer from a plain Django view."""
    return HttpResponse(to_json(data), status=status, content_type=JSON)


View = Callable[..., HttpResponseBase]


def plain_api(view: View) -> View:
    """A decorator for plain (synchronous) Django views: what they raise is answered as DRF views answer it."""

    @wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except Exception as error:
            problem = describe(error)
            if problem is None:
                raise
            return error_response(request, problem)

    return answering


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_response(request, Problem(400, Code.INVALID_REQUEST, "The request cannot be accepted."))
    return defaults.bad_request(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_response(request, Problem(403, Code.PERMISSION_DENIED, "You may not do this."))
    return defaults.permission_denied(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_response(request, Problem(404, Code.NOT_FOUND, "There is nothing at this address."))
    return defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return error_response(request, Problem(500, Code.INTERNAL, "Something went wrong here. It was noted."))
    return defaults.server_error(request)
