"""What of a batch that is sent again ClickHouse holds already: its rows in `events`, its ids in `event_ids`."""

from uuid import UUID

import numpy as np
import numpy.typing as npt

from ingestion import writer
from ingestion.columns import Columns, Int64s
from ingestion.ledger import Partition
from ingestion.rebuild import first_whole_day
from nova import clickhouse, clock

Mask = npt.NDArray[np.bool_]


def rows(part: Partition, columns: Columns, hi: int) -> Mask:
    """Which rows of the batch `part.next_offset`..`hi` stand in `events`, or stood there until their TTL.

    `events` keeps 30 days by the time in the message, and what comes from a table may be 90 days old: of a day that has
    begun to go, a row also counts as held when its id stands in `event_ids`, which keep 92. Raises a `nova.errors`
    class.
    """
    held: Mask = np.isin(columns.offsets, _offsets(part, hi))
    gone = ~held & (columns.days.astype("datetime64[D]") < np.datetime64(first_whole_day(clock.now())))
    if gone.any():
        held[gone] = ids(columns.where(gone))
    return held


def ids(columns: Columns) -> Mask:
    """Which rows' ids stand in `event_ids` under the row's day. Raises a `nova.errors` class."""
    wanted = [UUID(bytes=columns.ids[at : at + 16]) for at in range(0, len(columns.ids), 16)]
    found = clickhouse.query(
        "SELECT event_id FROM event_ids WHERE day IN ({days:Array(Date)}) AND event_id IN asked",
        {"days": np.unique(columns.days).astype("datetime64[D]").tolist()},
        tables={"asked": ([("id", "UUID")], [(one,) for one in wanted])},
    )
    known = {one for (one,) in found}
    return np.array([one in known for one in wanted], bool)


def _offsets(part: Partition, hi: int) -> Int64s:
    """The offsets from `part.next_offset` to `hi` that `events` holds, in no order."""
    found = clickhouse.query(
        f"SELECT DISTINCT _offset FROM {writer.TABLE} WHERE _topic_id = {{topic_id:String}}"
        " AND _partition = {partition:UInt32} AND _offset BETWEEN {lo:UInt64} AND {hi:UInt64}",
        {"topic_id": part.topic_id, "partition": part.partition, "lo": part.next_offset, "hi": hi},
    )
    return np.array([offset for (offset,) in found], np.int64)
