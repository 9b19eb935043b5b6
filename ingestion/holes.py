"""What a batch sent again may lack: rows whose token ClickHouse remembers although it never kept them.

ClickHouse writes a part's token to its deduplication log just before it makes the part visible. Killed in between, it
comes back with the token and without the rows, and takes the resend for a repeat. One kill can hit one table: the ones
before it were finished by the first try, those behind it are by the resend. So after a resend that spans a start of the
server, `events` and `event_ids` are compared with the batch and completed, past the views, which have counted it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID, uuid4

import numpy as np
import orjson
import structlog

from ingestion import ledger, present, writer
from ingestion.columns import COLUMNS, Columns
from ingestion.ledger import Partition
from nova import clickhouse, clock

log = structlog.get_logger(__name__)

# The clocks of the consumer's and of ClickHouse's host may differ.
_MARGIN = timedelta(minutes=2)


def started_since(moment: datetime) -> bool:
    """May ClickHouse's server have been started after `moment`? Raises a `nova.errors` class."""
    [(started,)] = clickhouse.query("SELECT toUnixTimestamp(now()) - uptime()")
    return datetime.fromtimestamp(started, UTC) > moment - _MARGIN


def fill(part: Partition, columns: Columns, hi: int) -> None:
    """Put in what is lacking of the batch `part.next_offset`..`hi`, which has just been sent again.

    Raises a `nova.errors` class; safe to repeat.
    """
    _drop_scratch(part)
    absent = columns.where(~present.rows(part, columns, hi))
    without_id = columns.where(~present.ids(columns))
    if len(absent):
        _add_rows(part, absent)
    if len(without_id):
        ledger.check(part)
        _add_ids(without_id)
    days = [str(day) for day in np.unique(columns.days).astype("datetime64[D]")]
    said = {"partition": str(part), "lo": part.next_offset, "hi": hi, "days": days}
    if len(absent) or len(without_id):
        log.critical("token_without_rows", **said, rows=len(absent), ids=len(without_id), todo="nothing: put in")
    else:
        # An aggregate that was hit instead cannot be told by a batch.
        back = clock.now().date() - np.datetime64(int(columns.days.min()), "D").astype(object)
        todo = f"manage.py rebuild_views --dry-run --days {back.days + 1}"
        log.warning("resent_over_a_restart", **said, todo=f"to be sure of the aggregates: {todo}")


def _scratch_of(part: Partition) -> str:
    """What the names of a partition's scratch tables begin with; its owner's epoch follows."""
    return f"events_rest_{md5(part.topic_id.encode()).hexdigest()[:12]}_{part.partition}_"


def _drop_scratch(part: Partition) -> None:
    """Drop what this owner of the partition, or one before it that was killed, has left."""
    prefix = _scratch_of(part)
    left = clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})",
        {"prefix": prefix},
    )
    for (name,) in left:
        if int(name.removeprefix(prefix)) <= part.epoch:
            clickhouse.command(f"DROP TABLE IF EXISTS {name} SYNC")


@contextmanager
def _scratch(part: Partition) -> Iterator[str]:
    """An empty table like `events` on which no view hangs."""
    name = f"{_scratch_of(part)}{part.epoch}"
    clickhouse.command(f"CREATE TABLE {name} AS {writer.TABLE}")
    try:
        yield name
    finally:
        clickhouse.command(f"DROP TABLE IF EXISTS {name} SYNC")


def _add_rows(part: Partition, absent: Columns) -> None:
    body = absent.arrow_stream(part.topic_id, part.partition)
    with _scratch(part) as scratch:
        clickhouse.insert_bytes(scratch, COLUMNS, body, fmt="ArrowStream", token=uuid4().hex)
        # No token would absorb what a process attaches that has slept through a rebalance.
        ledger.check(part)
        for day in np.unique(absent.days).astype("datetime64[D]").tolist():
            clickhouse.command(f"ALTER TABLE {writer.TABLE} ATTACH PARTITION {day:%Y%m%d} FROM {scratch}")


def _add_ids(without_id: Columns) -> None:
    days = without_id.days.astype("datetime64[D]").astype(str).tolist()
    lines = [
        orjson.dumps({"day": day, "event_id": str(UUID(bytes=without_id.ids[16 * row : 16 * row + 16]))})
        for row, day in enumerate(days)
    ]
    clickhouse.insert_bytes("event_ids", ["day", "event_id"], b"\n".join(lines), fmt="JSONEachRow", token=uuid4().hex)
