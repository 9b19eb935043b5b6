"""Rows that were read from PostgreSQL, not streamed, on their way into the copies. For the backfill and for repairs."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from ingestion import intake, reactions, truncation
from ingestion.contract import Event
from ingestion.decoders import ROWS, Row, encode
from ingestion.errors import InvalidMessage
from nova import clickhouse

log = structlog.get_logger(__name__)
# A broker acknowledges so many within `INTAKE_ACK_SECONDS`.
EVENTS_AT_ONCE = 5000


@dataclass
class Read:
    """`rows` to store; `refused`: how many can never be stored (a year that ClickHouse does not have, say)."""

    rows: list[Row] = field(default_factory=list)
    refused: int = 0


def decode(table: str, values: Iterable[Mapping[str, Any]], version: int) -> Read:
    """Make copies of what was read. Raises `Halt` when a column is gone."""
    read = Read()
    for row in values:
        try:
            read.rows.append(ROWS[table].from_bulk(row, version=version))
        except InvalidMessage as error:
            read.refused += 1
            log.warning("row_refused", table=table, id=str(row.get("id")), error=str(error))
    return read


def store(rows: Sequence[Row], *, events: bool, now: datetime) -> None:
    """Insert rows of one table; with `events`, likes and comments are also published, under the ids that the stream
    uses, so that nothing counts twice. Safe to repeat. Raises a `nova.errors` class.

    Written first, compared with the last TRUNCATE afterwards (see ingestion/truncation.py).
    """
    if not rows:
        return
    _insert(rows)
    if events:
        publish(reaction for row in rows for reaction in event(row, taken_back=False, now=now))
    if behind := truncation.behind_barrier(rows):
        _insert(behind)
        if events:
            publish(reaction for row in behind for reaction in event(row, taken_back=True, now=now))


def event(row: Row, *, taken_back: bool, now: datetime) -> list[Event]:
    """What a row counts as, or counted as; nothing for rows that are no reaction, or older than 90 days."""
    return reactions.event(row, taken_back=taken_back, now=now) if isinstance(row, reactions.Reaction) else []


def publish(events: Iterable[Event]) -> None:
    """Write to the events topic and wait for the broker. Raises `Transient`; safe to repeat."""
    waiting = list(events)
    for start in range(0, len(waiting), EVENTS_AT_ONCE):
        intake.publish(waiting[start : start + EVENTS_AT_ONCE])


def _insert(rows: Sequence[Row]) -> None:
    columns = list(rows[0].to_clickhouse())
    # A token of its own each time: a repeat must be written again, its version decides.
    clickhouse.insert_bytes(
        rows[0].TARGET, columns, encode(list(rows)), fmt="JSONEachRow", token=secrets.token_hex(16), timeout=120
    )
