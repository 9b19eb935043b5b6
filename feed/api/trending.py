"""GET /api/feed/trending."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from feed.api.serializers import TrendingParameters, TrendingSerializer
from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import JSON, to_json
from ranking import pipeline


class TrendingView(APIView):
    """What the community reacts to now, without what the viewer must not see."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "trending"

    @extend_schema(
        operation_id="trending", tags=["feed"], parameters=[TrendingParameters], responses=TrendingSerializer
    )
    def get(self, request: Request) -> HttpResponse:
        given = TrendingParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        found = pipeline.trending(viewer_id(request), **given.validated_data)
        about = to_json({"window": found.window, "generated_at": found.generated_at})
        return HttpResponse(b'{"posts":[' + b",".join(found.items) + b"]," + about[1:], content_type=JSON)
