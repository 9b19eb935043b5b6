"""Where a reader stopped, signed: only Nova makes cursors, and each serves one viewer only.

    base64url( 16 bytes of HMAC-SHA256 over the fields, the fields as a JSON array )

Every page carries one, so it is made with one digest: Django's signer costs three times as much.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache as once
from typing import Self

import orjson
from django.conf import settings

_PURPOSE = b"nova.ranking.cursor.v2"
_MAC = 16


class InvalidCursor(ValueError):
    """Not made by Nova, or made for another viewer."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next page begins at `position` of `snapshot`; `shown_before`: posts that the reader had before its first.

    last: the sort key of the post before the next page, by which a reader goes on when the snapshot is gone.
    made_by: the algorithm of the snapshot; asked: the one the reader wanted."""

    snapshot: str
    position: int
    shown_before: int
    last: str
    made_by: str
    asked: str

    def encode(self, viewer: str) -> str:
        fields = orjson.dumps(
            (viewer, self.snapshot, self.position, self.shown_before, self.last, self.made_by, self.asked)
        )
        return urlsafe_b64encode(_signature(fields) + fields).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, viewer: str) -> Self:
        """Raises `InvalidCursor`."""
        try:
            packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise InvalidCursor("This is no cursor of Nova's.") from error
        signature, fields = packed[:_MAC], packed[_MAC:]
        if not hmac.compare_digest(signature, _signature(fields)):
            raise InvalidCursor("This is no cursor of Nova's.")
        owner, *rest = orjson.loads(fields)
        if owner != viewer:
            raise InvalidCursor("This cursor was made for another viewer.")
        return cls(*rest)


def _signature(fields: bytes) -> bytes:
    return hmac.digest(_key(), fields, "sha256")[:_MAC]


@once
def _key() -> bytes:
    """A key of its own, so that nothing else that is signed with the secret passes for a cursor."""
    return hmac.digest(settings.SECRET_KEY.encode(), _PURPOSE, "sha256")
