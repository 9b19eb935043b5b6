"""POST /api/events."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from ingestion import intake
from ingestion.contract import ACTIONS, LONGEST_APP_VER, MOST_DWELL_MS
from nova import clock
from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import JSON, to_json


class EventSerializer(serializers.Serializer[Any]):
    """One event. Only describes: the intake reads events itself, a thousand at a time."""

    event_id = serializers.UUIDField(help_text="The client's own key: a resend has the same, and counts once.")
    event_time = serializers.DateTimeField(
        help_text="With offset; at most 5 minutes ahead and 30 days behind. A resend keeps it."
    )
    user_id = serializers.UUIDField(help_text="The viewer; another member only with a service token.")
    post_id = serializers.UUIDField()
    author_id = serializers.UUIDField(
        required=False, help_text="Filled from the post; refused when it is not its author."
    )
    action = serializers.ChoiceField(
        choices=sorted(ACTIONS),
        help_text="A member's own `like` and `comment` are kept and count nothing: POST /api/likes and /api/comments "
        "make those that count. A service's count beside them; `unlike` and `uncomment` are for services only.",
    )
    dwell_ms = serializers.IntegerField(required=False, min_value=0, max_value=MOST_DWELL_MS)
    device = serializers.ChoiceField(required=False, choices=["ios", "android", "web"])
    app_ver = serializers.CharField(required=False, max_length=LONGEST_APP_VER)


class RejectedSerializer(serializers.Serializer[Any]):
    """An event that was not accepted."""

    index = serializers.IntegerField(help_text="Its place in the request, from 0.")
    event_id = serializers.CharField(allow_null=True)
    reason = serializers.CharField(help_text="What to mend, with the field's name in front.")


class ReceiptSerializer(serializers.Serializer[Any]):
    """What became of the events: received = accepted + duplicates + rejected."""

    received = serializers.IntegerField()
    accepted = serializers.IntegerField(help_text="In Kafka, acknowledged by the broker.")
    duplicates = serializers.IntegerField(help_text="Ids repeated within this request.")
    rejected = serializers.IntegerField()
    invalid_events = RejectedSerializer(many=True)


_EXAMPLE = OpenApiExample(
    "A view",
    request_only=True,
    value={
        "events": [
            {
                "event_id": "5f3f4a0e-8f0e-4a33-9a52-0d9f2d1f8f10",
                "event_time": "2026-11-23T12:00:00Z",
                "user_id": "019b1c5e-6d8f-7a43-8f21-5b1f3f9f2c11",
                "post_id": "019b1c5e-7a10-7c5b-9a77-3e0d2f6b8a22",
                "action": "view",
                "dwell_ms": 4200,
                "device": "ios",
                "app_ver": "3.2.1",
            }
        ]
    },
)


class EventsView(APIView):
    """What the viewer did. Answered when the broker has every accepted event, so 202 means that none gets lost."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "events"

    @extend_schema(
        operation_id="events",
        tags=["events"],
        request=inline_serializer("EventsRequest", {"events": EventSerializer(many=True)}),
        responses={202: ReceiptSerializer},
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> HttpResponse:
        receipt = intake.accept(
            _events(request.data), viewer_id(request), clock.now(), service=getattr(request.user, "is_service", False)
        )
        return HttpResponse(to_json(asdict(receipt)), status=202, content_type=JSON)


def _events(body: Any) -> list[Any]:
    """The events of a body: `{"events": [...]}`, a bare list, or one bare event. Raises ValidationError."""
    found = body
    if isinstance(body, dict):
        found = [body] if "event_id" in body else body.get("events")
    if not isinstance(found, list):
        raise ValidationError({"events": ["This must be a list of events."]})
    if not 0 < len(found) <= settings.EVENTS_PER_REQUEST:
        raise ValidationError({"events": [f"Send 1 to {settings.EVENTS_PER_REQUEST} events."]})
    return found
