"""GET /api/feed."""

from functools import lru_cache
from time import perf_counter
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from feed.api.serializers import FeedParameters, FeedSerializer, NewerSerializer
from nova.identity import viewer_id, viewer_of
from nova.limits import ViewerThrottle, enforce
from nova.rest import JSON, plain_api, to_json
from ranking import pipeline

SCOPE = "feed"
_ANSWERS = PolymorphicProxySerializer("FeedOrNewer", [FeedSerializer, NewerSerializer], resource_type_field_name=None)


class FeedView(APIView):
    """The viewer's feed, page by page."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = SCOPE

    @extend_schema(operation_id="feed", tags=["feed"], parameters=[FeedParameters], responses=_ANSWERS)
    def get(self, request: Request) -> HttpResponse:
        return _answer(viewer_id(request), request.META.get("QUERY_STRING", ""))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """A GET with a bearer token takes a shorter way to the same answer: DRF's costs as much as a cached feed."""
        bearer = request.META.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer "
        return _lean(request) if bearer and request.method == "GET" else super().dispatch(request, *args, **kwargs)


@plain_api
def _lean(request: HttpRequest) -> HttpResponse:
    viewer = viewer_of(request)
    enforce(request, viewer, SCOPE)
    return _answer(viewer.id, request.META.get("QUERY_STRING", ""))


def asked_for(query: str) -> dict[str, Any]:
    """The checked parameters of a query string. Raises `ValidationError`."""
    return _often(query) if len(query) <= _LONGEST_OFTEN else _checked(query)


def _checked(query: str) -> dict[str, Any]:
    given = FeedParameters(data=QueryDict(query))
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


# The same few come all day; what is longer holds a cursor and comes once.
_LONGEST_OFTEN = 200
_often = lru_cache(1024)(_checked)


def _answer(viewer: UUID, query: str) -> HttpResponse:
    start = perf_counter()
    asked = asked_for(query)
    if "since" in asked:
        return HttpResponse(to_json({"newer": _newer(viewer, asked["since"], asked.get("algo"))}), content_type=JSON)
    try:
        page = pipeline.page(
            viewer,
            limit=asked["limit"],
            cursor=asked.get("cursor"),
            algo=asked.get("algo"),
            explain=asked["explain"] == "1",
        )
    except pipeline.InvalidCursor as error:
        raise ValidationError({"cursor": [str(error)]}) from None
    return HttpResponse(_body(page, perf_counter() - start), content_type=JSON)


def _newer(viewer: UUID, since: str, algo: str | None) -> int:
    try:
        return pipeline.newer(viewer, since, algo)
    except ValueError as error:
        raise ValidationError({"since": [str(error)]}) from None


def _body(page: pipeline.Page, seconds: float) -> bytes:
    about = {
        "cursor": page.cursor,
        "has_more": page.has_more,
        "cache_hit": page.cache_hit,
        "algorithm": page.algorithm,
        "snapshot": page.snapshot,
        "snapshot_replaced": page.snapshot_replaced,
        "generated_at": page.generated_at,
        "stale": page.stale,
        "experiment": page.experiment,
    }
    return body(b",".join(page.items), about, seconds)


def body(posts: bytes, about: dict[str, Any], seconds: float) -> bytes:
    """The answer: the posts as they are kept, never read and written again, and what is said of them."""
    about["latency_ms"] = round(seconds * 1000, 2)
    return b"".join((b'{"posts":[', posts, b"],", to_json(about)[1:]))
