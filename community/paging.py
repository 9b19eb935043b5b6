"""Pages by key: a cursor names the last row of a page, so that new rows never shift the next one."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# 8 bytes of microseconds since 1970 and 16 of the id make 32 characters without padding.
_CURSOR_CHARACTERS = 32
MOST = 100
USUAL = 50

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after a row: rows are ordered by `created_at`, then `id`, the newest first."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        """The cursor as clients see it: opaque, fit for a URL."""
        micros = (self.created_at - _EPOCH) // _MICROSECOND
        return base64.urlsafe_b64encode(micros.to_bytes(8, "big", signed=True) + self.id.bytes).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises `ValueError` for anything that `encode` did not make."""
        if len(text) != _CURSOR_CHARACTERS:
            raise ValueError("not a cursor: wrong length")
        try:
            raw = base64.urlsafe_b64decode(text)
            created_at = _EPOCH + int.from_bytes(raw[:8], "big", signed=True) * _MICROSECOND
            cursor = cls(created_at, UUID(bytes=raw[8:]))
        except (ValueError, OverflowError) as error:
            raise ValueError("not a cursor") from error
        if cursor.encode() != text:
            raise ValueError("not a cursor: another spelling")
        return cursor


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page, and where the next one starts; None when there is none."""

    items: Sequence[Row]
    cursor: str | None

    @property
    def has_more(self) -> bool:
        return self.cursor is not None
