"""Rows of a copy that have drifted, sent anew: the row of PostgreSQL where there is one, else a deletion.

The version is that of a backfill (ingestion/source.py). Likes and comments are put right where they are counted too:
what PostgreSQL has counts, what only ClickHouse had is taken back. Their event ids make that safe to repeat.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from ingestion import bulk, reactions, source
from ingestion.copies import Copy, Key
from ingestion.decoders import Row
from ingestion.source import Horizon
from nova import clickhouse, clock

log = structlog.get_logger(__name__)

_PATIENCE = 60.0
# The same statement again, later, means other rows.
_NO_TOKENS = {**clickhouse.INSERT_SETTINGS, "deduplicate_insert": "disable", "insert_deduplicate": 0}


def horizon(copy: Copy) -> Horizon:
    """What rows that are read from now on are as new as. Raises `Transient` when open transactions do not end."""
    return source.horizon(copy.table, patience=_PATIENCE, waiting=lambda line: log.info("repair_waits", reason=line))


def keys_in(copy: Copy, keys: Sequence[Key]) -> tuple[str, list[list[Any]]]:
    """PostgreSQL's condition for rows with these keys, and its parameters."""
    return source.keys_in(copy.postgres_key, keys)


def asked(copy: Copy) -> str:
    """ClickHouse's condition for rows whose key is in the temporary table `asked`."""
    return f"({', '.join(copy.key)}) IN (SELECT * FROM asked)"


def heal(copy: Copy, keys: Sequence[Key], since: Horizon) -> None:
    """Make the rows with these keys what PostgreSQL holds now. Safe to repeat. Raises a `nova.errors` class.

    A row whose copy is newer than `since` stays as it is: the stream has brought it meanwhile, or PostgreSQL was
    restored from a backup and nobody noted it (`manage.py bump_restore_epoch`).
    """
    now = clock.now()
    read = bulk.decode(copy.table, source.by_keys(since, copy.postgres_key, keys), since.version)
    if read.refused:
        # Which keys are theirs cannot be known here; alone, such a row is left as it is.
        for key in keys if len(keys) > 1 else ():
            heal(copy, [key], since)
        return
    present = {_key(copy, row) for row in read.rows}
    if copy.table in reactions.TABLES:
        living = {reactions.identity(row) for row in read.rows if isinstance(row, reactions.Reaction)}
        gone = [row for row in _stored(copy, keys) if reactions.identity(row) not in living]
        # Before they are deleted, or a crash in between would leave them counted.
        bulk.publish(event for row in gone for event in bulk.event(row, taken_back=True, now=now))
    bulk.store(read.rows, events=True, now=now)
    if ghosts := [key for key in keys if key not in present]:
        _delete(copy, ghosts, since.version)
    log.info("repaired", copy=copy.target, sent=len(read.rows), deleted=len(ghosts))


def _key(copy: Copy, row: Row) -> Key:
    return tuple(getattr(row, name) for name in copy.key)


def _stored(copy: Copy, keys: Sequence[Key]) -> list[Any]:
    names = [name for name, _, _ in copy.row.columns()]
    found = clickhouse.query(
        f"SELECT {', '.join(names)} FROM {copy.target} FINAL WHERE {asked(copy)}",
        tables={"asked": (copy.clickhouse_key, keys)},
        timeout=120,
    )
    return [copy.row.from_bulk(dict(zip(names, row, strict=True)), version=0) for row in found]


def _delete(copy: Copy, keys: Sequence[Key], version: int) -> None:
    clickhouse.query(
        f"INSERT INTO {copy.target} SELECT * REPLACE ({{version:UInt64}} AS version, 1 AS is_deleted) "
        f"FROM {copy.target} FINAL WHERE {asked(copy)}",
        {"version": version},
        tables={"asked": (copy.clickhouse_key, keys)},
        server_settings=_NO_TOKENS,
        timeout=120,
    )
