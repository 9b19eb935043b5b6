"""Events into ClickHouse: one batch, one block, one token."""

from ingestion.columns import COLUMNS
from ingestion.ledger import Partition
from nova import clickhouse

TABLE = "events"
# One insert may touch 100 partitions of a table (max_partitions_per_insert_block), and events lie in one a day.
MOST_DAYS = 90
_SECONDS = 60


def token(part: Partition, hi: int) -> str:
    """Names the batch from `part.next_offset` to `hi`; the ledger keeps it until the batch is stored.

    Decided anew after a rewind, a batch of the same offsets may hold other rows (those that somebody deleted), which
    the old token would swallow: so the epoch is part of it.
    """
    return f"{part.topic_id}:{part.partition}:{part.epoch}:{part.next_offset}-{hi}"


def insert(body: bytes, token: str) -> None:
    """Insert rows (`Columns.arrow_stream`) into `events` and through every view. Raises a `nova.errors` class."""
    clickhouse.insert_bytes(TABLE, COLUMNS, body, fmt="ArrowStream", token=token, timeout=_SECONDS)


def stored_up_to(part: Partition) -> int:
    """The highest offset of this partition at or behind `part.next_offset` that ClickHouse holds; −1 for none.

    There is one only after the ledger was set back. Raises a `nova.errors` class.
    """
    ((count, highest),) = clickhouse.query(
        f"SELECT count(), max(_offset) FROM {TABLE}"
        " WHERE _topic_id = {topic_id:String} AND _partition = {partition:UInt32} AND _offset >= {offset:UInt64}",
        {"topic_id": part.topic_id, "partition": part.partition, "offset": part.next_offset},
    )
    return int(highest) if count else -1
