"""One run of a job at a time, over all machines: an advisory lock of PostgreSQL, held while the run goes on.

The lock has a connection of its own, outside of Django's pool, and belongs to a transaction on it. So it is free
again as soon as the process is gone, however it went, and a pooler between us and PostgreSQL (pgbouncer, by
transaction) keeps one server connection for us meanwhile. An idle transaction that has read nothing holds back no
vacuum.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from zlib import crc32

import psycopg
from django.db import connection

from nova import postgres

# "jobs" in ASCII: the first half of every key, apart from whoever else uses advisory locks.
_CLASS = 0x6A6F6273
# A PostgreSQL that hangs would not let go of it for longer, and of us.
_LETTING_GO_SECONDS = 2.0
# Without these a machine that lost its power would hold the lock for two hours.
_KEEPALIVE = (
    "SELECT set_config('tcp_keepalives_idle', '30', true), set_config('tcp_keepalives_interval', '10', true),"
    " set_config('tcp_keepalives_count', '3', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)


@contextmanager
def held(name: str) -> Iterator[bool]:
    """Whether the lock `name` is now ours; it is until the block ends. Does not wait.

    Raises `django.db.OperationalError` when PostgreSQL does not answer.
    """
    parameters = connection.get_connection_params()
    # Some versions of Django leave the pool's options in.
    parameters.pop("pool", None)
    with connection.wrap_database_errors:
        own = postgres.ImpatientConnection.connect(**parameters)
    try:
        with connection.wrap_database_errors:
            own.execute(_KEEPALIVE)
            row = own.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_CLASS, _half(name)]).fetchone()
        yield bool(row and row[0])
    finally:
        # Waits until PostgreSQL has let go of the lock. That a connection is closed it notices some time later, and
        # a run that begins right after this one would find the lock taken.
        with suppress(psycopg.Error), postgres.within(_LETTING_GO_SECONDS):
            own.rollback()
        own.close()


def _half(name: str) -> int:
    """The second half of the key: a signed 32-bit number."""
    return crc32(name.encode()) - (1 << 31)
