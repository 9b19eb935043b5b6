"""GET /api/feed/stream as the web server answers it, and POST /api/feed/stream/ticket. `feed.stream` has the stream."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from feed.stream import tickets
from nova.identity import viewer_id
from nova.limits import ViewerThrottle
from nova.rest import Code, Problem, error_response, json_response

_SAID = """Server-sent events, until either side ends it:

- `snapshot_replaced` `{"snapshot": id}`: the feed was made anew, this is its newest snapshot.
- `new_posts` `{"count": n}`: so many posts of it are not in the snapshot that the reader holds.

Each event has an id; a reader who comes back with the last one is told what changed meanwhile, and nothing twice."""


class StreamParameters(serializers.Serializer[Any]):
    since = serializers.CharField(
        required=False, help_text="The snapshot that the reader holds. Without it: the one at the time of opening."
    )
    algo = serializers.ChoiceField(
        ["ch", "time"], required=False, help_text="As the feed was read with; without it the viewer's own."
    )
    last_event_id = serializers.CharField(
        required=False, help_text="As the header Last-Event-ID, for who cannot set it. Goes before `since`."
    )
    ticket = serializers.CharField(
        required=False, help_text="Instead of a token or a session: from POST /api/feed/stream/ticket, used once."
    )


class TicketSerializer(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    url = serializers.CharField(help_text="Where to open the stream, the ticket in it. A path: on this server.")
    expires_in = serializers.IntegerField(help_text="Seconds within which it must be used.")


class TemporaryRedirect(HttpResponseRedirect):
    """The same call, elsewhere (307)."""

    status_code = 307


class StreamView(APIView):
    """What changes in the viewer's feed, as it happens."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "stream"
    # Without HEAD, which Django takes for GET: it would be led from a stream's process to that process again.
    http_method_names = ["get", "options"]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Readers accept events alone; from here they are led to them, or told why not, which is no event."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        operation_id="feed_stream",
        tags=["feed"],
        parameters=[
            StreamParameters,
            OpenApiParameter("Last-Event-ID", OpenApiTypes.STR, OpenApiParameter.HEADER, description="To go on."),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, description=_SAID),
            307: OpenApiResponse(description="The stream is at Location, a ticket in it: another process serves it."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        # A stream would hold one of the web server's threads: the reader is sent to the process that serves it.
        if not settings.STREAM_URL:
            message = "Streams are served by a process of their own, which this address does not lead to."
            return error_response(request._request, Problem(503, Code.UNAVAILABLE, message, headers=_MUCH_LATER))
        last = request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id", "")
        since, algo = (request.query_params.get(name, "") for name in ("since", "algo"))
        # A service that is led there is one there, too.
        ticket = tickets.issue(viewer_id(request), is_service=getattr(request.user, "is_service", False))
        return TemporaryRedirect(tickets.address(ticket, since=since, algo=algo, last_event_id=last))


_MUCH_LATER = {"Retry-After": "60"}


class TicketView(APIView):
    """A ticket that opens one stream as the viewer, for a browser: its event streams cannot send a token."""

    throttle_classes = [ViewerThrottle]
    throttle_scope = "stream"

    @extend_schema(operation_id="stream_ticket", tags=["feed"], request=None, responses={201: TicketSerializer})
    def post(self, request: Request) -> HttpResponse:
        ticket = tickets.issue(viewer_id(request))
        made = {"ticket": ticket, "url": tickets.address(ticket), "expires_in": settings.STREAM_TICKET_SECONDS}
        return json_response(made, 201)
