"""How far the consumers are behind, for people to look at: the ledger beside what Kafka holds now."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from ingestion.models import Offset
from nova import kafka

Ends = dict[tuple[str, int], int]


@dataclass
class Summary:
    """One consumer: messages behind over all partitions, batches not finished, and its latest sign of life."""

    consumer: str
    partitions: int = 0
    lag: int = 0
    pending: int = 0
    updated_at: datetime | None = None


def ends(rows: Iterable[Offset], *, timeout: float = 2) -> Ends:
    """(topic, partition) → the offset of the next message that Kafka will get; empty when it does not answer."""
    wanted = {TopicPartition(row.topic, row.partition): OffsetSpec.latest() for row in rows}  # type: ignore[no-untyped-call]
    if not wanted:
        return {}
    found: Ends = {}
    try:
        for at, future in kafka.admin().list_offsets(wanted, request_timeout=timeout).items():
            found[at.topic, at.partition] = future.result(timeout).offset
    except (KafkaException, TimeoutError):
        return {}
    return found


def lag(row: Offset, live: Ends) -> int:
    """Messages of a partition that are not stored yet; as of the ledger's last word where Kafka was not asked."""
    return max(0, live.get((row.topic, row.partition), row.high_watermark) - row.next_offset)


def summaries(rows: Iterable[Offset], live: Ends) -> list[Summary]:
    """One line per consumer, by name."""
    found: defaultdict[str, Summary] = defaultdict(lambda: Summary(""))
    for row in rows:
        one = found[row.consumer]
        one.consumer = row.consumer
        one.partitions += 1
        one.lag += lag(row, live)
        one.pending += row.pending_lo is not None
        one.updated_at = max(row.updated_at, one.updated_at or row.updated_at)
    return [found[name] for name in sorted(found)]
