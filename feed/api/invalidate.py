"""POST /api/feed/invalidate."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from nova.identity import IsStaffOrService
from nova.rest import JSON, UuidField, to_json
from ranking import pipeline

_MOST = 10_000
_SCOPES = ["feed", "trending", "all"]


class InvalidateSerializer(serializers.Serializer[Any]):
    user_ids = serializers.ListField(
        child=UuidField(), max_length=_MOST, default=list, help_text="Not needed for `trending`."
    )
    scope = serializers.ChoiceField(
        _SCOPES, default="feed", help_text="`feed`: of these members; `trending`: the lists for everyone; `all`: both."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["scope"] != "trending" and not attrs["user_ids"]:
            raise ValidationError({"user_ids": ["Name at least one member."]})
        return attrs


class InvalidatedSerializer(serializers.Serializer[Any]):
    invalidated = serializers.IntegerField(help_text="Feeds, and lists of what is trending.")
    scope = serializers.ChoiceField(_SCOPES)


class InvalidateView(APIView):
    """Have feeds ranked anew when they are next read, and the trending lists worked out now."""

    permission_classes = [IsStaffOrService]

    @extend_schema(
        operation_id="invalidate", tags=["feed"], request=InvalidateSerializer, responses=InvalidatedSerializer
    )
    def post(self, request: Request) -> HttpResponse:
        given = InvalidateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        scope = given.validated_data["scope"]
        count = pipeline.invalidate(given.validated_data["user_ids"], scope)
        return HttpResponse(to_json({"invalidated": count, "scope": scope}), content_type=JSON)
