"""GET /api/feed/why."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import JSON, to_json
from nova.schema import errors
from ranking import pipeline


class WhyParameters(serializers.Serializer[Any]):
    post = serializers.UUIDField(help_text="Any post.")


class WhySourceSerializer(serializers.Serializer[Any]):
    source = serializers.CharField(help_text="followees, trending, affinity or newest.")  # type: ignore[assignment]
    proposes = serializers.BooleanField()
    code = serializers.CharField(help_text="proposed, or why not: not_followed, too_old, too_few_people …")
    message = serializers.CharField()
    inputs = serializers.DictField(help_text="The numbers that decided.")


class WhyScoreSerializer(serializers.Serializer[Any]):
    """In order of time there is no score: nulls."""

    freshness = serializers.FloatField()
    engagement = serializers.FloatField(allow_null=True)
    affinity = serializers.FloatField(allow_null=True)
    final = serializers.FloatField(allow_null=True)
    inputs = serializers.DictField()
    weights = serializers.DictField(allow_null=True)


class WhyThresholdSerializer(serializers.Serializer[Any]):
    """The post to outdo: of those in the feed the last by score, or the one with the same content."""

    post = serializers.UUIDField()
    final = serializers.FloatField(allow_null=True, help_text="Its score; null in order of time.")
    created_at = serializers.DateTimeField(help_text="In order of time a post must be newer than this.")


class WhyChangeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class WhySerializer(serializers.Serializer[Any]):
    post = serializers.UUIDField()
    in_feed = serializers.BooleanField()
    code = serializers.CharField(help_text="in_feed, or the rule that keeps the post out.")
    message = serializers.CharField()
    algorithm = serializers.ChoiceField(["ch", "time"])
    snapshot = serializers.CharField()
    generated_at = serializers.DateTimeField()
    of = serializers.IntegerField(help_text="Posts in the feed.")
    place = serializers.IntegerField(allow_null=True, help_text="In the feed, from 1.")
    rank = serializers.IntegerField(allow_null=True, help_text="Among all candidates by score, when not in the feed.")
    seen = serializers.BooleanField(allow_null=True)
    sources = WhySourceSerializer(many=True)
    score = WhyScoreSerializer(allow_null=True)
    moved_by_diversity = serializers.IntegerField(allow_null=True)
    duplicate_of = serializers.UUIDField(allow_null=True, help_text="The post with the same content that is shown.")
    threshold = WhyThresholdSerializer(allow_null=True, help_text="For `below_cut` and `duplicate`.")
    changes = WhyChangeSerializer(many=True, help_text="What would bring the post into the feed.")


class WhyView(APIView):
    """Why a post is, or is not, in the viewer's feed."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "why"

    @extend_schema(
        operation_id="why", tags=["feed"], parameters=[WhyParameters], responses={200: WhySerializer, **errors(404)}
    )
    def get(self, request: Request) -> HttpResponse:
        given = WhyParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        try:
            found = pipeline.why(viewer_id(request), given.validated_data["post"])
        except pipeline.NoSuchPost:
            raise NotFound({"post": ["There is no such post."]}) from None
        return HttpResponse(to_json(found), content_type=JSON)
