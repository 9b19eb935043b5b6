"""Sending a batch again when ClickHouse may have forgotten its token: only what it does not hold.

A token absorbs a repeat as long as ClickHouse's deduplication log remembers it. ClickHouse writes that log without
fsync (ClickHouse#111577): it outlives a killed server, but a host that lost its power may have lost the log's end,
while the rows, which are synced, are there. Then the same batch under the same token would be counted twice. So would
one that a backup of PostgreSQL holds as pending: restored, it may be older than all that the log remembers.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import structlog

from ingestion import present
from ingestion.columns import Columns
from ingestion.ledger import Partition
from nova import clickhouse, clock
from nova.errors import Permanent

log = structlog.get_logger(__name__)

# The clocks of the consumer's and of ClickHouse's host may differ, and a host's uptime is known to about a minute.
_MARGIN = timedelta(minutes=2)
_BOOT = """
SELECT toUnixTimestamp(now()) - value FROM system.asynchronous_metrics WHERE metric = 'OSUptime'
"""
_RESTORED = "SELECT toUnixTimestamp(max(noted_at)) FROM restore_epochs"


def token_may_be_lost(since: datetime) -> bool:
    """Has the host of ClickHouse started after `since`, or was PostgreSQL restored from a backup? False where
    ClickHouse does not tell since when its host is up (it is then trusted).

    Raises `Transient` when ClickHouse does not answer.
    """
    found = clickhouse.query(_RESTORED)
    with suppress(Permanent):
        found += clickhouse.query(_BOOT)
    return any(datetime.fromtimestamp(moment, UTC) > since - _MARGIN for (moment,) in found)


def missing(part: Partition, columns: Columns, hi: int) -> Columns:
    """The rows of the batch `part.next_offset`..`hi` that ClickHouse does not hold, and says loudly which it does.

    What the present rows were to add to the aggregates may be lacking: nobody knows, as each view has its own tokens.
    """
    absent = ~present.rows(part, columns, hi)
    held = columns.where(~absent)
    if len(held):
        first = clock.now().date() - np.datetime64(int(held.days.min()), "D").astype(object)
        log.critical(
            "not_sent_again",
            partition=str(part),
            lo=part.next_offset,
            hi=hi,
            present=len(held),
            missing=int(absent.sum()),
            days=[str(day) for day in np.unique(held.days).astype("datetime64[D]")],
            todo=f"the aggregates of these days may lack rows: manage.py rebuild_views --days {first.days + 1}",
        )
    return columns.where(absent)
