"""Keys in time order (UUIDv7), the same in Python and in the database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Func, UUIDField
from uuid_utils.compat import uuid7

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> UUID:
    """A UUIDv7 of the present millisecond."""
    return uuid7()


def id_at(moment: datetime, randomness: int) -> UUID:
    """The UUIDv7 of that millisecond; the low 74 bits of `randomness` tell apart the ids of one millisecond."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    high, low = (randomness >> 62) & 0xFFF, randomness & (2**62 - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


class DatabaseId(Func):
    """`nova_uuid7()`, made by the first migration, so that a row inserted with psql gets its key too."""

    function = "nova_uuid7"
    template = "%(function)s()"
    output_field = UUIDField()
    arity = 0
