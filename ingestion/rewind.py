"""Setting a consumer back or forward by hand (`--from-offset`): what that would skip or repeat, and doing it, fenced.

A rewind of the events repeats nothing: rows of a partition that ClickHouse holds behind the ledger's offset are looked
up before any claim is believed (`writer.stored_up_to`), and what is stored anew gets tokens of the new epoch. A rewind
of the changes repeats writes that are harmless: the newest version of a row wins.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]
from django.db import transaction

from ingestion import ledger
from ingestion.ledger import answering
from ingestion.models import Offset
from nova import clock, kafka
from nova.errors import Permanent, Transient

_SECONDS = 10.0
# Kafka forgets a process that was killed after its session (`nova.kafka.consumer`); the rest is for looking.
_FORGOTTEN_SECONDS = 13.0
_LOOK_SECONDS = 0.5
_SPEC = re.compile(r"^(?P<topic>[\w.-]+):(?P<partition>\d+|\*):(?P<where>\d+|earliest|latest)$", re.ASCII)


@dataclass(frozen=True)
class Move:
    """One partition's way. at: its next offset now, None when it was never read; low, end: what Kafka holds.

    pending: the batch (lo, hi) that is half inserted perhaps. epoch: the ledger's when this was planned.
    """

    topic: str
    topic_id: str
    partition: int
    at: int | None
    to: int
    low: int
    end: int
    epoch: int = 0
    pending: tuple[int, int] | None = None

    @property
    def skipped(self) -> int:
        """Offsets that will never be read."""
        return max(0, self.to - (self.low if self.at is None else self.at))

    @property
    def repeated(self) -> int:
        """Offsets that will be read again."""
        return 0 if self.at is None else max(0, self.at - self.to)


def wait_for_leavers(consumer: str, waiting: Callable[[int], None]) -> bool:
    """Until no process is in the group: one that has just been killed is in it for some seconds more. Was there one?

    waiting: told once how many there are. Raises `Permanent` when one stays, `Transient` when Kafka does not answer.
    """
    deadline, waited = time.monotonic() + _FORGOTTEN_SECONDS, False
    while running := kafka.members(consumer):
        if time.monotonic() >= deadline:
            raise _still_running(consumer, running)
        if not waited:
            waiting(running)
        waited = True
        time.sleep(_LOOK_SECONDS)
    return waited


def _still_running(consumer: str, running: int) -> Permanent:
    return Permanent(f"{running} processes of the group {consumer} run. Stop them first; nothing was changed")


def plan(consumer: str, topics: Sequence[str], specs: Sequence[str]) -> list[Move]:
    """What `TOPIC:PARTITION:OFFSET` (partition may be `*`, offset `earliest` or `latest`) asks for, by partition.

    Raises `Permanent` for a spec that cannot be followed, `Transient` when Kafka or PostgreSQL does not answer.
    """
    wanted: dict[tuple[str, int], str] = {}
    ids: dict[str, str] = {}
    for spec in specs:
        found = _SPEC.match(spec)
        if found is None:
            raise Permanent(f"{spec!r} is not TOPIC:PARTITION:OFFSET, for example {topics[0]}:3:12000")
        topic = found["topic"]
        if topic not in topics:
            raise Permanent(f"{spec}: this consumer does not read {topic}, but {', '.join(topics)}")
        ids |= _topic_ids(topic) if topic not in ids else {}
        present = _partitions(topic)
        numbers = present if found["partition"] == "*" else [int(found["partition"])]
        for number in numbers:
            if number not in present:
                raise Permanent(f"{spec}: {topic} has the partitions 0 to {max(present)}")
            if (topic, number) in wanted:
                raise Permanent(f"{spec}: {topic}[{number}] is named twice")
            wanted[topic, number] = found["where"]
    lows, ends = _offsets(wanted, OffsetSpec.earliest()), _offsets(wanted, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    with answering():
        rows = {
            (row.topic, row.partition): row
            for row in Offset.objects.filter(consumer=consumer, topic_id__in=ids.values())
        }
    return [
        _move(ids[topic], topic, number, where, lows[topic, number], ends[topic, number], rows.get((topic, number)))
        for (topic, number), where in sorted(wanted.items())
    ]


def _move(topic_id: str, topic: str, number: int, where: str, low: int, end: int, row: Offset | None) -> Move:
    to = {"earliest": low, "latest": end}.get(where, -1)
    to = int(where) if to < 0 else to
    if not low <= to <= end:
        raise Permanent(f"{topic}[{number}]: Kafka holds the offsets {low} to {end}, not {to}")
    if row is None:
        return Move(topic, topic_id, number, None, to, low, end)
    pending = None
    if row.pending_lo is not None and row.pending_hi is not None:
        pending = row.pending_lo, row.pending_hi
        # Without its token it is a batch of which Kafka once had lost the end.
        if row.pending_token and row.pending_lo >= low and row.pending_hi < end:
            raise Permanent(
                f"{topic}[{number}]: the batch {row.pending_lo}-{row.pending_hi} may be half inserted, and Kafka still "
                "holds it. Start the consumer once without --from-offset: it finishes that batch first"
            )
    return Move(topic, topic_id, number, row.next_offset, to, low, end, row.epoch, pending)


def carry_out(consumer: str, moves: Sequence[Move]) -> None:
    """Write the new offsets, all or none. Every former owner is fenced by the new epoch.

    Raises `Permanent` when a process of the group runs, or one has moved a partition since the plan was made.
    """
    if running := kafka.members(consumer):
        raise _still_running(consumer, running)
    with answering(), transaction.atomic():
        for move in moves:
            if move.at is None:
                ledger.have_row(consumer, move.topic, move.topic_id, move.partition, move.low)
            seen = Offset.objects.filter(
                consumer=consumer,
                topic_id=move.topic_id,
                partition=move.partition,
                epoch=move.epoch,
                next_offset=move.low if move.at is None else move.at,
            )
            changed = seen.update(
                next_offset=move.to,
                epoch=move.epoch + 1,
                high_watermark=move.end,
                pending_lo=None,
                pending_hi=None,
                pending_kept=None,
                pending_token="",
                updated_at=clock.now(),
            )
            if not changed:
                raise Permanent(
                    f"{move.topic}[{move.partition}] was moved by another process meanwhile; nothing was changed"
                )


def _topic_ids(topic: str) -> dict[str, str]:
    try:
        return kafka.topic_ids(topic)
    except KafkaException as error:
        raise Transient(f"Kafka: {topic}: {error.args[0].str()}") from error


def _partitions(topic: str) -> list[int]:
    try:
        return sorted(kafka.admin().list_topics(topic, timeout=_SECONDS).topics[topic].partitions)
    except KafkaException as error:
        raise Transient(f"Kafka: {error.args[0].str()}") from error


def _offsets(wanted: dict[tuple[str, int], str], which: OffsetSpec) -> dict[tuple[str, int], int]:
    asked = {TopicPartition(topic, number): which for topic, number in wanted}
    try:
        found = kafka.admin().list_offsets(asked, request_timeout=_SECONDS)
        return {(at.topic, at.partition): int(future.result().offset) for at, future in found.items()}
    except KafkaException as error:
        raise Transient(f"Kafka: {error.args[0].str()}") from error
