"""Where a reader stopped, signed: only Nova makes cursors, and each serves one viewer only.

    base64url( 16 bytes of HMAC-SHA256 over the rest, the fields as a JSON array, 0, 4 bytes of each post shown )

What was shown travels with the reader, so that no post comes twice even when Redis has forgotten everything.

Every page carries one, so it is made with one digest: Django's signer costs three times as much.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache as once
from typing import Self

import orjson
from django.conf import settings

_PURPOSE = b"nova.ranking.cursor.v2"
_MAC = 16
# As many posts as a feed usually has.
_SHOWN = 500
_PRINT = 4


class InvalidCursor(ValueError):
    """Not made by Nova, or made for another viewer."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next page begins at `position` of `snapshot`; `shown_before`: posts that the reader had before its first.

    last: the sort key of the post before the next page, by which a reader goes on when the snapshot is gone.
    made_by: the algorithm of the snapshot; asked: the one the reader wanted. shown: `prints` of the posts that the
    reader had, of the last 500."""

    snapshot: str
    position: int
    shown_before: int
    last: str
    made_by: str
    asked: str
    shown: bytes = b""

    def not_shown(self, ids: Iterable[str]) -> list[bool]:
        """For each post whether the reader did not have it yet, as far as the cursor knows."""
        had = {self.shown[at : at + _PRINT] for at in range(0, len(self.shown), _PRINT)}
        return [bytes.fromhex(post[-2 * _PRINT :]) not in had for post in ids]

    def encode(self, viewer: str) -> str:
        fields = orjson.dumps(
            (viewer, self.snapshot, self.position, self.shown_before, self.last, self.made_by, self.asked)
        )
        signed = fields + b"\0" + self.shown[-_SHOWN * _PRINT :]
        return urlsafe_b64encode(_signature(signed) + signed).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, viewer: str) -> Self:
        """Raises `InvalidCursor`."""
        try:
            packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise InvalidCursor("This is no cursor of Nova's.") from error
        signature, signed = packed[:_MAC], packed[_MAC:]
        if not hmac.compare_digest(signature, _signature(signed)):
            raise InvalidCursor("This is no cursor of Nova's.")
        fields, _, shown = signed.partition(b"\0")
        owner, *rest = orjson.loads(fields)
        if owner != viewer:
            raise InvalidCursor("This cursor was made for another viewer.")
        return replace(cls(*rest), shown=shown)


def prints(ids: Iterable[str]) -> bytes:
    """Four bytes of each post's id, one after the other."""
    return bytes.fromhex("".join([post[-2 * _PRINT :] for post in ids]))


def _signature(signed: bytes) -> bytes:
    return hmac.digest(_key(), signed, "sha256")[:_MAC]


@once
def _key() -> bytes:
    """A key of its own, so that nothing else that is signed with the secret passes for a cursor."""
    return hmac.digest(settings.SECRET_KEY.encode(), _PURPOSE, "sha256")
