"""What every call has in common, for the generated OpenAPI schema."""

import re
from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

_COMMON = {
    "400": "Something in the request cannot be accepted; field says what.",
    "401": "No valid token, and no session.",
    "403": "The viewer may not do this.",
    "429": "Too many calls; Retry-After says when to try again.",
    "503": "A part that is needed does not answer; Retry-After says when to try again.",
}
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ACT_FOR = OpenApiParameter(
    "X-Act-For",
    OpenApiTypes.UUID,
    OpenApiParameter.HEADER,
    description="The member that a service token acts for. Refused with any other token.",
)


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error: `error` for programs, `message` for people, `field` if one was at fault."""

    # Not an enum in the schema: clients must survive a code they do not know yet.
    error = serializers.CharField(help_text="A code such as invalid_request, not_found or rate_limited.")
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="What was wrong, like events[3].action.")
    request_id = serializers.CharField(help_text="The answer's X-Request-ID, as the logs show it.")


def errors(*statuses: int) -> dict[int, type[ErrorSerializer]]:
    """Error answers of one call for `extend_schema(responses=...)`; 400, 401, 403, 429 and 503 are always there."""
    return dict.fromkeys(statuses, ErrorSerializer)


class NovaSchema(AutoSchema):
    """Adds what every call has: the header of services, and the errors that any call may answer."""

    def get_override_parameters(self) -> list[Any]:
        return [_ACT_FOR]

    def get_operation_id(self) -> str:
        """`get_posts` for GET of PostsView, `delete_post` for DELETE of PostView."""
        name = type(self.view).__name__.removesuffix("View")
        return f"{self.method.lower()}_{_CAPITAL.sub('_', name).lower()}"

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, description in _COMMON.items():
            if status not in bodies:
                body = self._get_response_for_code(ErrorSerializer, status, direction=direction)  # type: ignore[no-untyped-call]
                bodies[status] = {**body, "description": description}
        return dict(sorted(bodies.items()))


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "nova.identity.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def one_version(endpoints: list[Any], **_: Any) -> list[Any]:
    """/api/v1/… answers the same as /api/…: each call is described once."""
    return [endpoint for endpoint in endpoints if not endpoint[0].startswith("/api/v1/")]
