"""How Nova bears what PostgreSQL may do: never answer, and hold times that Python has not.

A process that is frozen, or hangs on its disk, still acknowledges packets: neither a statement's own timeout, which the
server keeps, nor one of the network ends the waiting for it. So every wait for an answer ends here, and with it the
connection.

PostgreSQL knows `infinity`, years before 1 and behind 9999. psycopg refuses to read them, and one such row, written
past Nova, would make a page of posts, a feed in order of time or a comparison of copies fail as a whole. They are read
as the first and the last moment that Python has instead. What is stored does not change.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection, DataError
from psycopg.errors import _WaitTimeout
from psycopg.types.datetime import TimestamptzLoader

from nova.errors import Permanent

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


@contextmanager
def alone(what: str, otherwise: str) -> Iterator[None]:
    """In this block no other process is in one of the same name. Raises `Permanent` with `otherwise` when one is.

    The lock is the session's: through a pooler that gives each transaction another session it holds nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [what])
        if not cursor.fetchone()[0]:
            raise Permanent(otherwise)
        try:
            yield
        finally:
            # A session that has ended holds nothing any more; why it has is said by whoever noticed.
            with suppress(OperationalError, InterfaceError):
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [what])


# How often a wait looks whether its time is over.
_LOOK_SECONDS = 0.1
_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """In this block each wait for an answer ends after so many seconds, with a `django.db.OperationalError`."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


class ImpatientConnection(Connection[Any]):
    """A connection that is given up when no answer comes: within `within`, or soon after a statement's own timeout."""

    def wait(self, gen: Any, interval: float = _LOOK_SECONDS, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, _patience.get() or settings.DATABASE_PATIENCE_SECONDS)
        except _WaitTimeout:
            # An answer that still comes would be taken for that to the next question.
            self.pgconn.finish()
            raise
