"""The one shape of errors, and JSON in and out."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from redis.exceptions import ConnectionError as RedisDown
from rest_framework import exceptions, serializers

from nova import errors, rest
from nova.rest import Code


class Media(serializers.Serializer):
    url = serializers.CharField()


class Post(serializers.Serializer):
    text = serializers.CharField()
    media = Media(many=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=3))

    def validate(self, attrs):
        raise serializers.ValidationError("Both at once will not do.")


GOOD = {"text": "x", "media": [{"url": "u"}], "tags": ["a"]}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (GOOD | {"text": ""}, "text"),
        (GOOD | {"media": [{"url": "u"}, {}]}, "media[1].url"),
        (GOOD | {"media": "none"}, "media"),
        (GOOD | {"tags": ["a", "b", "long"]}, "tags[2]"),
        (GOOD, ""),
        ([], ""),
    ],
)
def test_the_first_fault_is_named_by_its_path(data, field):
    reader = Post(data=data)
    with pytest.raises(serializers.ValidationError) as caught:
        reader.is_valid(raise_exception=True)
    path, message = rest.first_fault(caught.value.detail)
    assert path == field
    assert message


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.ValidationError({"text": ["bad"]}), 400, Code.INVALID_REQUEST),
        (rest.InvalidJson(), 400, Code.INVALID_JSON),
        (exceptions.NotAuthenticated(), 401, Code.NOT_AUTHENTICATED),
        (exceptions.AuthenticationFailed(), 401, Code.NOT_AUTHENTICATED),
        (exceptions.PermissionDenied(), 403, Code.PERMISSION_DENIED),
        (PermissionDenied("inner workings"), 403, Code.PERMISSION_DENIED),
        (exceptions.NotFound(), 404, Code.NOT_FOUND),
        (Http404("inner workings"), 404, Code.NOT_FOUND),
        (exceptions.MethodNotAllowed("PUT"), 405, Code.METHOD_NOT_ALLOWED),
        (exceptions.NotAcceptable(), 406, Code.NOT_ACCEPTABLE),
        (rest.Conflict(), 409, Code.CONFLICT),
        (IntegrityError("inner workings"), 409, Code.CONFLICT),
        (rest.TooLarge(), 413, Code.TOO_LARGE),
        (exceptions.UnsupportedMediaType("text/csv"), 415, Code.UNSUPPORTED_MEDIA_TYPE),
        (exceptions.Throttled(wait=7), 429, Code.RATE_LIMITED),
        (SuspiciousOperation("inner workings"), 400, Code.INVALID_REQUEST),
        (OperationalError("inner workings"), 503, Code.UNAVAILABLE),
        (InterfaceError("inner workings"), 503, Code.UNAVAILABLE),
        (RedisDown("inner workings"), 503, Code.UNAVAILABLE),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), 503, Code.UNAVAILABLE),
        (errors.Transient("inner workings"), 503, Code.UNAVAILABLE),
        (errors.Ambiguous("inner workings"), 503, Code.UNAVAILABLE),
        (errors.Overloaded("inner workings"), 503, Code.UNAVAILABLE),
    ],
)
def test_every_known_error_has_its_status_and_code(error, status, code):
    problem = rest.describe(error)
    assert (problem.status, problem.code) == (status, code)
    assert "inner workings" not in problem.message
    assert ("Retry-After" in problem.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in problem.headers) == (status == 401)
    body = problem.body("id")
    assert set(body) - {"field"} == {"error", "message", "request_id"}


@pytest.mark.parametrize("error", [ValueError("inner workings"), errors.Permanent("inner workings"), KeyError("x")])
def test_an_unexpected_error_is_not_described(error):
    assert rest.describe(error) is None


def test_json_out():
    data = {"at": datetime(2026, 1, 2, tzinfo=UTC), "id": UUID(int=1), "price": Decimal("1.5"), 3: Code.CONFLICT}
    assert orjson.loads(rest.to_json(data)) == {
        "at": "2026-01-02T00:00:00Z",
        "id": str(UUID(int=1)),
        "price": "1.5",
        "3": "conflict",
    }
    assert rest.OrjsonRenderer().render(None) == b""


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"\xff", b'{"a": NaN}', b"[" * 5000])
def test_what_is_no_json(body):
    with pytest.raises(rest.InvalidJson):
        rest.OrjsonParser().parse(io.BytesIO(body))


@pytest.mark.parametrize("one", ["[%s]", '{"a": %s}', '[1, "", %s]'])
def test_how_deep_a_body_may_be_nested(one):
    deep = "0"
    for _ in range(50):
        deep = one % deep
    rest.from_json(deep.encode())
    with pytest.raises(rest.InvalidJson, match="50 deep"):
        rest.from_json((one % deep).encode())


def test_a_body_that_is_too_large_is_not_read_to_the_end(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert rest.OrjsonParser().parse(io.BytesIO(b'"' + b"x" * 8 + b'"')) == "x" * 8
    stream = io.BytesIO(b'"' + b"x" * 100 + b'"')
    with pytest.raises(rest.TooLarge):
        rest.OrjsonParser().parse(stream)
    assert stream.tell() == 11


def test_a_plain_view_answers_errors_like_the_others():
    @rest.plain_api
    def view(request, error):
        raise error

    request = RequestFactory().get("/api/x")
    request.request_id = "mine"
    answer = view(request, exceptions.Throttled(wait=3))
    assert (answer.status_code, answer["Retry-After"], answer["Content-Type"]) == (429, "3", "application/json")
    assert orjson.loads(answer.content)["request_id"] == "mine"
    with pytest.raises(ZeroDivisionError):
        view(request, ZeroDivisionError())
