"""GET /api/feed."""

from time import perf_counter
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from feed.api.serializers import FeedParameters, FeedSerializer
from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import JSON, to_json
from ranking import pipeline


class FeedView(APIView):
    """The viewer's feed, page by page."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "feed"

    @extend_schema(
        operation_id="feed",
        tags=["feed"],
        parameters=[FeedParameters, OpenApiParameter("since", str, description=FeedParameters.SINCE)],
        responses=FeedSerializer,
    )
    def get(self, request: Request) -> HttpResponse:
        start = perf_counter()
        viewer = viewer_id(request)
        given = FeedParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        if "since" in asked:
            return _newer(viewer, asked["since"])
        try:
            page = pipeline.page(
                viewer,
                limit=asked["limit"],
                cursor=asked.get("cursor"),
                algo=asked["algo"],
                explain=asked["explain"] == "1",
            )
        except pipeline.InvalidCursor as error:
            raise ValidationError({"cursor": [str(error)]}) from None
        return HttpResponse(_body(page, perf_counter() - start), content_type=JSON)


def _newer(viewer: UUID, since: str) -> HttpResponse:
    try:
        count = pipeline.newer(viewer, since)
    except ValueError as error:
        raise ValidationError({"since": [str(error)]}) from None
    return HttpResponse(to_json({"newer": count}), content_type=JSON)


def _body(page: pipeline.Page, seconds: float) -> bytes:
    """The answer: the posts as they are kept, never read and written again, and what is said of them."""
    about = {
        "cursor": page.cursor,
        "has_more": page.has_more,
        "cache_hit": page.cache_hit,
        "algorithm": page.algorithm,
        "snapshot": page.snapshot,
        "snapshot_replaced": page.snapshot_replaced,
        "generated_at": page.generated_at,
        "stale": page.stale,
        "latency_ms": round(seconds * 1000, 2),
    }
    return b'{"posts":[' + b",".join(page.items) + b"]," + to_json(about)[1:]
