"""The source tables read in bulk, beside the stream: which version such a row gets, and the rows themselves.

A row that is read has no LSN of its own. Its version must be higher than that of every change it contains, as far as
the change came before the reading, and lower than that of every change it does not contain. The place where the WAL
ends at the moment is not enough: a transaction that is still open may have written below it, and would commit unseen.

So: note the end of the WAL (the horizon), then wait until every transaction that had written by then has ended. What is
read from then on contains all changes below the horizon; all that it may lack lie above. One horizon serves a whole
run: rows that change while it goes on get higher versions from the stream. `CREATE INDEX CONCURRENTLY` waits likewise.

A TRUNCATE behind the horizon ends that: rows that were made after it and are read would look older than it, and be
taken for some that it removed. It gives the table another file, which is looked at together with the rows.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction

from ingestion.envelope import LSN_LIMIT
from nova import clickhouse
from nova.errors import Transient

# An LSN is a multiple of 8; the stream uses it, and one less for a key that a row has left and for a snapshot's row.
_BELOW_THE_STREAM = 2
_LOOK_SECONDS = 0.2
_OPEN = """
SELECT 'pid ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') || ', begun '
    || to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid != pg_backend_pid()
UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
"""
# A row as JSON, what is nested in it as text.
_FLAT = """
(SELECT jsonb_object_agg(key, CASE WHEN jsonb_typeof(value) IN ('object', 'array') THEN to_jsonb(value::text)
    ELSE value END)::text FROM jsonb_each(to_jsonb(t)))
"""


class Truncated(Transient):
    """The table was truncated, or rewritten, since the horizon. Nothing was read; a new horizon is needed."""


@dataclass(frozen=True)
class Horizon:
    """From when on rows of `table` are read. version: of all of them; file: PostgreSQL's number of the table's file."""

    table: str
    version: int
    file: int


def restore_epoch() -> int:
    """How often the database was restored from a backup, 0..255. Raises a `nova.errors` class."""
    [(epoch,)] = clickhouse.query("SELECT max(epoch) FROM restore_epochs")
    return int(epoch)


def version(epoch: int, horizon: int) -> int:
    """The version of what is read after `horizon` was reached."""
    if not 0 < horizon < LSN_LIMIT:
        raise ValueError(f"no LSN: {horizon}")
    return (epoch << 56) | (horizon - _BELOW_THE_STREAM)


def horizon(
    table: str,
    *,
    patience: float,
    waiting: Callable[[str], None] = lambda line: None,
    going_on: Callable[[], bool] = lambda: True,
) -> Horizon:
    """What all rows of `table` that are read from now on are as new as.

    patience: seconds to wait for open transactions that write; `waiting` is told once who they are. Not to be called
    in a transaction of one's own. Raises `Transient` when they do not end, or when `going_on` says no.
    """
    if connection.in_atomic_block:
        raise RuntimeError("one's own transaction would be waited for too")
    epoch, file = restore_epoch(), _file(table)
    # In this order: whoever wrote below the horizon had its number by then.
    end = int(_value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
    last = int(_value("SELECT pg_current_xact_id()::text"))
    deadline = time.monotonic() + patience
    told = False
    while int(_value("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")) <= last:
        open_ones = f"open transactions in PostgreSQL: {'; '.join(_open_transactions()) or 'unknown'}"
        if time.monotonic() > deadline or not going_on():
            raise Transient(f"rows cannot be read safely before these end: {open_ones}")
        if not told:
            waiting(f"waiting for {open_ones}")
            told = True
        time.sleep(_LOOK_SECONDS)
    return Horizon(table, version(epoch, end), file)


def _open_transactions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return [line for (line,) in cursor.fetchall()]


def _value(sql: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def _file(table: str) -> int:
    return int(_value("SELECT pg_relation_filenode(%s::regclass)", table))


def chunk(since: Horizon, after: UUID | None, size: int) -> list[dict[str, Any]]:
    """The next `size` rows of the table behind the id `after`, in the order of PostgreSQL's ids, as `Row.from_bulk`
    takes them: as JSON, like Debezium's, so that both make the same row of it. Raises `Truncated`."""
    behind, values = ("WHERE id > %s", [after]) if after else ("", [])
    return _rows(since, f"{behind} ORDER BY id LIMIT {size:d}", values)


def by_keys(since: Horizon, key: Mapping[str, str], keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The rows with these keys, as far as there are any. key: PostgreSQL's type of each key column, by name. Raises
    `Truncated`."""
    asked, arrays = keys_in(key, keys)
    return _rows(since, f"WHERE {asked}", arrays)


def keys_in(key: Mapping[str, str], keys: Sequence[tuple[Any, ...]]) -> tuple[str, list[list[Any]]]:
    """A condition for 'the key is one of these', and its parameters."""
    arrays = ", ".join(f"%s::{kind}[]" for kind in key.values())
    return f"({', '.join(key)}) IN (SELECT * FROM unnest({arrays}))", [list(part) for part in zip(*keys, strict=True)]


def _rows(since: Horizon, which: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    # The read holds a lock that no TRUNCATE passes until the transaction ends.
    with transaction.atomic():
        found = _read(f"SELECT to_json(t)::text FROM {since.table} t {which}", values)
        if _file(since.table) != since.file:
            raise Truncated(f"{since.table} was truncated while its rows were read; it is to be read anew")
        try:
            return [msgspec.json.decode(text) for text in found]
        except RecursionError:
            # Something is nested too deep to be read. As text, as the stream has it, it spoils its own row alone.
            found = _read(f"SELECT {_FLAT} FROM {since.table} t {which}", values)
            return [msgspec.json.decode(text) for text in found]


def _read(sql: str, values: Sequence[Any]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [text for (text,) in cursor.fetchall()]


def estimate(table: str, after: UUID | None = None) -> int:
    """About how many rows lie behind `after`: counted where that is cheap, as of the last ANALYZE where it is not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        rows = int(cursor.fetchone()[0])
        if rows > 1_000_000:
            return rows
        behind, values = ("WHERE id > %s", [after]) if after else ("", [])
        cursor.execute(f"SELECT count(*) FROM {table} {behind}", values)
        return int(cursor.fetchone()[0])
