"""What is refused before anything looks at it."""

import orjson
import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from nova.middleware import ReadableMiddleware


@pytest.mark.parametrize(
    ("query", "field"), [("limit=5&cursor=a%00b", "cursor"), ("post=a&post=%00", "post"), ("a%00=5", None)]
)
def test_a_nul_in_the_query_is_refused_by_its_parameters_name(query: str, field: str | None) -> None:
    answer = ReadableMiddleware(lambda _: HttpResponse())(RequestFactory().get(f"/api/feed?{query}"))
    assert isinstance(answer, HttpResponse)
    assert (answer.status_code, orjson.loads(answer.content).get("field")) == (400, field)


def test_a_query_without_one_goes_on() -> None:
    answer = ReadableMiddleware(lambda _: HttpResponse("read"))(RequestFactory().get("/api/feed?limit=5&cursor=00"))
    assert isinstance(answer, HttpResponse)
    assert answer.content == b"read"
