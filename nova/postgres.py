"""Times that PostgreSQL has and Python has not.

PostgreSQL knows `infinity`, years before 1 and behind 9999. psycopg refuses to read them, and one such row, written
past Nova, would make a page of posts, a feed in order of time or a comparison of copies fail as a whole. They are read
as the first and the last moment that Python has instead. What is stored does not change.
"""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import DataError
from psycopg.types.datetime import TimestamptzLoader

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


class NearestTime(TimestamptzLoader):
    """A `timestamptz` as an aware datetime in UTC: the nearest that there is."""

    # Django compares it with the connection's, which is UTC, and would put its own loader here if it were another.
    timezone = UTC

    def load(self, data: Any) -> datetime:
        try:
            return super().load(data).astimezone(UTC)
        except (DataError, OverflowError):
            written = bytes(data)
            return FIRST if written.startswith(b"-") or written.endswith(b"BC") else LAST


def read_every_time(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """A receiver of `connection_created`."""
    if connection.vendor == "postgresql":
        connection.connection.adapters.register_loader("timestamptz", NearestTime)
