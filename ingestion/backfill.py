"""A source table copied to ClickHouse in pieces, beside the stream and under its version rule (ingestion/source.py).

Where it is, is noted after each piece: a run that ended in any way goes on there, with a horizon of its own. A piece
that was stored but not noted is stored twice, which the versions make one. After a TRUNCATE it begins anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import connection

from ingestion import bulk, source
from ingestion.decoders import ROWS
from ingestion.models import BackfillProgress
from nova import clickhouse, clock
from nova.errors import Permanent
from nova.postgres import alone

BATCH = 10_000
# Who holds the lock of `run`: PostgreSQL shows its number in two halves.
_RUNNING = """
SELECT name FROM unnest(%s::text[]) AS name WHERE EXISTS (
    SELECT FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database()
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND (classid::bigint << 32 | objid::bigint) = hashtext('nova backfill ' || name)
)
"""


@dataclass
class Result:
    """rows: stored by this run; refused: those that can never be stored (see the log); finished: not interrupted."""

    rows: int = 0
    refused: int = 0
    finished: bool = False


def run(
    table: str,
    *,
    batch: int = BATCH,
    restart: bool = False,
    events: bool = False,
    rate: float | None = None,
    patience: float = 3600,
    progress: Callable[[int, int], None] = lambda done, of: None,
    say: Callable[[str], None] = lambda line: None,
    going_on: Callable[[], bool] = lambda: True,
) -> Result:
    """Copy `table` from where the last run stopped, or from its beginning when that one finished, or with `restart`.

    batch: rows a piece; events: publish likes and comments too; rate: rows a second at most; patience: seconds to wait
    for open transactions; progress: told the rows done and about how many there are; say: told what is waited for;
    going_on: asked before each piece. Raises a `nova.errors` class, `Halt` when a column is gone, `Permanent` when
    this table is being copied already.
    """
    if table not in ROWS:
        raise Permanent(f"{table} is no source table; there are {', '.join(sorted(ROWS))}")
    if not 0 < batch <= clickhouse.MAX_ROWS:
        raise Permanent(f"a piece has between 1 and {clickhouse.MAX_ROWS:,} rows")
    # Two at once would do no harm to the copy, but to the note of how far they are.
    with alone(f"nova backfill {table}", f"{table} is being copied by another process already"):
        place = _begin(table, restart=restart, events=events, say=say)
        begin = partial(source.horizon, table, patience=patience, waiting=say, going_on=going_on)
        since = begin()
        result = Result()
        of = place.rows + source.estimate(table, place.last_id)
        started = time.monotonic()
        while going_on():
            progress(place.rows, of)
            try:
                values = source.chunk(since, place.last_id, batch)
            except source.Truncated:
                say(f"{table} was truncated: beginning anew")
                place.last_id, place.rows = None, 0
                since = begin()
                continue
            if values:
                read = bulk.decode(table, values, since.version)
                bulk.store(read.rows, events=events, now=clock.now())
                result.rows += len(read.rows)
                result.refused += read.refused
                place.last_id = UUID(values[-1]["id"])
                place.rows += len(values)
            if len(values) < batch:
                place.finished_at = clock.now()
                result.finished = True
            place.save()
            if result.finished:
                break
            if rate:
                _keep_to(rate, result.rows, started, going_on)
        progress(place.rows, max(of, place.rows))
        return result


def _begin(table: str, *, restart: bool, events: bool, say: Callable[[str], None]) -> BackfillProgress:
    place, _ = BackfillProgress.objects.get_or_create(table=table)
    unlike = place.last_id is not None and place.events != events
    if restart or place.finished_at is not None or unlike:
        if unlike and not restart and place.finished_at is None:
            say("the interrupted run published events otherwise: beginning anew")
        place.last_id, place.rows, place.finished_at = None, 0, None
        place.started_at = clock.now()
    elif place.last_id is not None:
        say(f"going on behind {place.last_id}, {place.rows:,} rows were done")
    place.events = events
    place.save()
    return place


def _keep_to(rate: float, rows: int, started: float, going_on: Callable[[], bool]) -> None:
    while going_on() and (early := started + rows / rate - time.monotonic()) > 0:
        time.sleep(min(early, 0.2))


def running() -> set[str]:
    """The tables that some process is copying at the moment. Raises `django.db.DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(_RUNNING, [list(ROWS)])
        return {table for (table,) in cursor.fetchall()}
