"""One-time tickets: with one in the address, a browser opens a stream as a viewer, once and soon.

A browser cannot send a token with its event stream, and a token in an address would be written into logs and stay
valid. Kept in Redis by their hash: who reads Redis finds no ticket to use.
"""

import hashlib
import secrets
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from nova import redis
from nova.identity import Viewer

_SERVICE = "service"


def _key(ticket: str) -> str:
    return f"ticket:v1:{hashlib.sha256(ticket.encode()).hexdigest()}"


def issue(viewer: UUID, *, is_service: bool = False) -> str:
    """A ticket for one stream of this viewer within `STREAM_TICKET_SECONDS`. Raises `redis.RedisError`.

    is_service: a service, or who looks through the viewer's eyes, opens it and takes none of their places.
    """
    ticket = secrets.token_urlsafe(32)
    holder = f"{viewer} {_SERVICE}" if is_service else str(viewer)
    redis.cache().set(_key(ticket), holder, ex=settings.STREAM_TICKET_SECONDS)
    return ticket


def redeem(ticket: str) -> Viewer | None:
    """Whose ticket this is; None when it is forged, expired or was used before. Raises `redis.RedisError`."""
    found = redis.cache().getdel(_key(ticket))
    if not isinstance(found, bytes):
        return None
    viewer, _, kind = found.decode().partition(" ")
    return Viewer(UUID(viewer), is_service=kind == _SERVICE)


def address(ticket: str, **known: str) -> str:
    """Where a browser opens the stream; `known` are the call's other parameters, the empty ones left out."""
    asked = {"ticket": ticket, **{name: value for name, value in known.items() if value}}
    return f"{settings.STREAM_URL}{reverse('stream')}?{urlencode(asked)}"
