"""Where a reader stopped, signed: only Nova makes cursors, and each serves one viewer only."""

from dataclasses import dataclass
from typing import Self

from django.core import signing

_SALT = "nova.ranking.cursor.v1"


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
        fields = (viewer, self.snapshot, self.position, self.shown_before, self.last, self.made_by, self.asked)
        return signing.dumps(fields, salt=_SALT)

    @classmethod
    def decode(cls, text: str, viewer: str) -> Self:
        """Raises `InvalidCursor`."""
        try:
            owner, *fields = signing.loads(text, salt=_SALT)
        except (signing.BadSignature, ValueError, TypeError) as error:
            raise InvalidCursor("This is no cursor of Nova's.") from error
        if owner != viewer:
            raise InvalidCursor("This cursor was made for another viewer.")
        return cls(*fields)
