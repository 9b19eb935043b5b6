"""Who calls: viewers and services by bearer token, staff by session.

A token is checked without touching a database: its signature, its expiry and its shape say everything. Each process
remembers a checked token for a while, because a signature costs more than the rest of a cached answer.
"""

import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt
from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from nova.jwks import KeySet

# DRF imports the classes its settings name while it imports its own views.
if TYPE_CHECKING:
    from rest_framework.views import APIView

# Longer than this is no token of ours, and would only fill the memory.
_LONGEST_TOKEN = 8192
_REMEMBERED = 20_000
# A key that the issuer withdrew stops working after this many seconds even for tokens already seen.
_REMEMBER_SECONDS = 300.0
ACT_FOR = "X-Act-For"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The bearer of a valid token. `id` is the member whose feed is read and in whose name rows are written.

    A service that acts for a member has that member's `id` and keeps `is_service`.
    """

    id: UUID
    is_service: bool = False
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False

    @property
    def pk(self) -> UUID:
        return self.id


class _Remembered:
    """Checked tokens, the oldest forgotten first. Values: the viewer and until when (Unix seconds) it is believed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._viewers: dict[str, tuple[Viewer, float]] = {}

    def get(self, token: str, now: float) -> Viewer | None:
        viewer, until = self._viewers.get(token, (None, 0.0))
        return viewer if now < until else None

    def put(self, token: str, viewer: Viewer, until: float) -> None:
        with self._lock:
            self._viewers.pop(token, None)
            while len(self._viewers) >= self._size:
                del self._viewers[next(iter(self._viewers))]
            self._viewers[token] = (viewer, until)

    def clear(self) -> None:
        with self._lock:
            self._viewers.clear()


remembered = _Remembered(_REMEMBERED)


@cache
def _key_set(url: str) -> KeySet:
    return KeySet(url)


def _verified_claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature and times hold; raises `jwt.InvalidTokenError` or `Transient`."""
    algorithm = settings.JWT_ALGORITHM
    # One algorithm, from the settings and never from the token: `none` and HS256 over a public key cannot pass.
    options: Any = {"require": ["exp", "sub"], "verify_aud": bool(settings.JWT_AUDIENCE), "verify_iat": False}
    if algorithm == "HS256":
        key: Any = settings.JWT_SECRET
    else:
        key = _key_set(settings.JWT_JWKS_URL).key(str(jwt.get_unverified_header(token).get("kid", "")))
    return jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=settings.JWT_AUDIENCE or None,
        issuer=settings.JWT_ISSUER or None,
        leeway=settings.JWT_LEEWAY_SECONDS,
        options=options,
    )


# What is wrong, by PyJWT's class; the more special class first. No text of PyJWT's own is passed on.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidAudienceError, "The token is meant for another audience."),
    (jwt.InvalidIssuerError, "The token comes from another issuer."),
    (jwt.InvalidAlgorithmError, "The token is signed with an algorithm that is not accepted here."),
    (jwt.InvalidSignatureError, "The token's signature is wrong."),
    (jwt.PyJWKError, "The token is signed with an unknown key."),
    (jwt.exceptions.InvalidSubjectError, "The token's sub claim must be a UUID."),
    (jwt.DecodeError, "The token cannot be read."),
)


def _check(token: str) -> tuple[Viewer, float]:
    """The viewer of a token, and when it expires (Unix seconds, leeway included)."""
    if len(token) > _LONGEST_TOKEN:
        raise AuthenticationFailed("The token is too long.")
    try:
        claims = _verified_claims(token)
        expires = float(claims["exp"]) + settings.JWT_LEEWAY_SECONDS
    except jwt.MissingRequiredClaimError as error:
        raise AuthenticationFailed(f"The token has no {error.claim} claim.") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "The token is not valid.")
        raise AuthenticationFailed(reason) from None
    try:
        subject = UUID(claims["sub"])
    except ValueError:
        raise AuthenticationFailed("The token's sub claim must be a UUID.") from None
    scope = claims.get("scope", "")
    scopes = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    return Viewer(subject, is_service="service" in scopes), expires


def authenticate_header(value: str, act_for: str | None = None) -> Viewer:
    """The viewer of an Authorization header's value; `act_for` is the value of X-Act-For, None without one.

    Raises `AuthenticationFailed` (401), `PermissionDenied` (a viewer acting for another: 403), `ValidationError`
    (X-Act-For is no UUID: 400), `nova.errors.Transient` (the issuer's keys cannot be fetched: 503).
    """
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise AuthenticationFailed("Send the header Authorization: Bearer TOKEN.")
    now = time.time()
    viewer = remembered.get(token, now)
    if viewer is None:
        viewer, expires = _check(token)
        remembered.put(token, viewer, min(expires, now + _REMEMBER_SECONDS))
    return viewer if act_for is None else _acting_for(viewer, act_for)


def known(value: str) -> Viewer | None:
    """The viewer of an Authorization header's value when its token was checked lately; None says nothing of it."""
    return remembered.get(value[7:], time.time()) if value.startswith("Bearer ") else None


def _acting_for(viewer: Viewer, act_for: str) -> Viewer:
    try:
        member = UUID(act_for)
    except ValueError:
        raise ValidationError({ACT_FOR: ["This must be the UUID of a member."]}) from None
    if not viewer.is_service and member != viewer.id:
        raise PermissionDenied("Only a service token may act for another member.")
    return replace(viewer, id=member)


def viewer_of(request: HttpRequest) -> Viewer:
    """The viewer of a plain Django request, by its headers alone. Raises as `authenticate_header` does."""
    return authenticate_header(request.headers.get("Authorization", ""), request.headers.get(ACT_FOR))


class BearerAuthentication(BaseAuthentication):
    """DRF's way to `authenticate_header`; a request without a bearer token is left to the session."""

    def authenticate(self, request: Request) -> tuple[Viewer, None] | None:
        value = request.headers.get("Authorization", "")
        if value.partition(" ")[0].lower() != "bearer":
            return None
        return authenticate_header(value, request.headers.get(ACT_FOR)), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsViewer(BasePermission):
    """Anyone who is known: the bearer of a token, or a member with a session."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return bool(request.user and request.user.is_authenticated)


class IsStaffOrService(BasePermission):
    """Staff with a session, or a service token."""

    message = "Only staff and services may do this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        user = request.user
        return bool(user and user.is_authenticated and (user.is_staff or getattr(user, "is_service", False)))


def viewer_id(request: Request) -> UUID:
    """The member that an authenticated request acts as."""
    identifier = request.user.id
    assert isinstance(identifier, UUID)
    return identifier
