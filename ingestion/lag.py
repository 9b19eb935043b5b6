"""How far the consumers are behind, for people to look at: the ledger beside what Kafka holds now."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from ingestion.models import Offset
from nova import kafka

# (topic id, partition) → the offset of the next message that Kafka will get.
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
    """Where the partitions of these rows end now; empty when Kafka does not answer. Those of a topic that is no more,
    or was made again, end where they were read up to; one whose end Kafka does not tell is left out."""
    known = list(rows)
    found: Ends = {}
    try:
        ids = kafka.topic_ids_there({row.topic for row in known}, timeout)
        there = [row for row in known if ids.get(row.topic) == row.topic_id]
        wanted = {TopicPartition(row.topic, row.partition): OffsetSpec.latest() for row in there}  # type: ignore[no-untyped-call]
        asked = kafka.admin().list_offsets(wanted, request_timeout=timeout) if wanted else {}
    except (KafkaException, TimeoutError):
        return {}
    for row in known:
        if ids.get(row.topic) != row.topic_id:
            found[row.topic_id, row.partition] = row.next_offset
    for at, future in asked.items():
        with suppress(KafkaException, TimeoutError):
            found[ids[at.topic], at.partition] = future.result(timeout).offset
    return found


def end(row: Offset, live: Ends) -> int:
    """Where a partition ends; as of the ledger's last word where Kafka did not tell."""
    return live.get((row.topic_id, row.partition), row.high_watermark)


def lag(row: Offset, live: Ends) -> int:
    """Messages of a partition that are not stored yet."""
    return max(0, end(row, live) - row.next_offset)


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
