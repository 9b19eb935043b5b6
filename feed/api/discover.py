"""GET /api/discover/suggested-users."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from feed.api.serializers import AuthorSerializer
from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import JSON, to_json
from ranking import discover


class SuggestedUsersParameters(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


class MutualFollowersSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="Members that the viewer follows and who follow this one.")
    members = AuthorSerializer(many=True, help_text="The closest of them, at most two.")


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField([discover.FRIENDS, discover.TRENDING])
    text = serializers.CharField(help_text="For people to read.")


class SuggestedUserSerializer(AuthorSerializer):
    affinity_score = serializers.FloatField(
        help_text="Friends in common by how close they are to the viewer, raised by shared interests; "
        "for trending authors the momentum of their posts."
    )
    mutual_followers = MutualFollowersSerializer()
    shared_interests = serializers.IntegerField(help_text="Authors whose posts both have most to do with.")
    reason = ReasonSerializer()


class SuggestedUsersSerializer(serializers.Serializer[Any]):
    users = SuggestedUserSerializer(many=True)
    generated_at = serializers.DateTimeField()


class SuggestedUsersView(APIView):
    """Whom the viewer may want to follow, and why: friends of friends, then authors that the community reacts to."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "discover"

    @extend_schema(
        operation_id="suggested_users",
        tags=["discover"],
        parameters=[SuggestedUsersParameters],
        responses=SuggestedUsersSerializer,
    )
    def get(self, request: Request) -> HttpResponse:
        given = SuggestedUsersParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        found = discover.suggested(viewer_id(request), **given.validated_data)
        return HttpResponse(to_json(found), content_type=JSON)
