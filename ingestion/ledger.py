"""The offset ledger in PostgreSQL: what was decided is written down before it is done, and only by the owner.

Every write is guarded by the epoch that the owner got with its claim, so a process that lost a partition without
noticing can change nothing. All functions raise `Transient` when PostgreSQL does not answer; they are safe to repeat.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction

from ingestion import kept as codec
from ingestion.errors import EXIT_DATA_LOSS, Fenced, Halt
from ingestion.models import DeadLetter, Offset
from nova import clock, postgres
from nova.errors import Transient

log = structlog.get_logger(__name__)

# Each of a claim's waits for PostgreSQL, which nobody can end and during which nobody polls: well below what /healthz
# calls a stall, and what a stop may take.
CLAIM_SECONDS = 10.0
# "offs" in ASCII, apart from whoever else uses advisory locks.
_LOCK_CLASS = 0x6F666673
_NOTHING_PENDING: dict[str, Any] = {
    "pending_lo": None,
    "pending_hi": None,
    "pending_kept": None,
    "pending_token": "",
}


@dataclass(frozen=True)
class Pending:
    """A batch that may be half inserted: exactly the offsets `kept` of lo..hi go again under the same `token`.

    since: when it was written down.
    """

    lo: int
    hi: int
    kept: codec.Offsets
    token: str
    since: datetime


@dataclass(eq=False)
class Partition:
    """A partition as its present owner holds it. Made by `claim`; `next_offset` follows the ledger."""

    row: int
    consumer: str
    topic: str
    topic_id: str
    partition: int
    epoch: int
    next_offset: int
    high_watermark: int = 0
    claims_since: datetime | None = None
    # False once the partition went to somebody else: retries stop.
    alive: bool = True
    # What a sink must remember between two tries of the same batch; emptied by the runtime after the batch.
    memo: Any = None
    # What a sink wants to remember of a partition as long as it owns it.
    notes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@contextmanager
def answering() -> Iterator[None]:
    """Turn a PostgreSQL that does not answer into `Transient`, and drop the broken connection."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        with suppress(DatabaseError):
            connection.close()
        raise Transient(f"PostgreSQL: {error}") from error


def claim(
    consumer: str, topic: str, topic_id: str, partition: int, *, low: int, high: int
) -> tuple[Partition, Pending | None]:
    """Become the owner of a partition: its state, and the batch to redo first.

    low, high: Kafka's watermarks. A partition without a row starts at `low`. Raises `Halt` when Kafka no longer holds
    the next offset (retention has passed it), does not hold it yet (the topic is not the one that was read), or ends
    within the batch that is to be redone.
    """
    with answering(), postgres.within(CLAIM_SECONDS), transaction.atomic():
        _bury(consumer, topic, topic_id)
        have_row(consumer, topic, topic_id, partition, low)
        row = Offset.objects.select_for_update().get(consumer=consumer, topic_id=topic_id, partition=partition)
        # The pending range starts at the next offset, so this covers both.
        if row.next_offset < low:
            raise Halt(
                f"{topic}[{partition}]: offsets {row.next_offset} to {low - 1} were never stored, and Kafka deleted "
                "them: its retention is too short for this pause. To accept that loss, start with "
                f"--from-offset {topic}:{partition}:earliest",
                EXIT_DATA_LOSS,
            )
        if row.next_offset > high:
            raise Halt(
                f"{topic}[{partition}]: the next offset is {row.next_offset}, but Kafka ends at {high}: it has lost "
                "messages that were read, or was restored. To go on there, start with "
                f"--from-offset {topic}:{partition}:latest (or earliest, to read again what it holds)",
                EXIT_DATA_LOSS,
            )
        # What comes to these offsets later is something else; under the old token it would be taken for a repeat.
        lost = row.pending_hi is not None and (row.pending_hi >= high or not row.pending_token)
        if lost:
            # Noted, for whoever is started again when Kafka holds something else there.
            Offset.objects.filter(pk=row.pk).update(pending_token="")
        else:
            row.epoch += 1
            row.high_watermark = high
            # The time of a pending batch stays, however often it changes hands.
            moment = ["updated_at"] if row.pending_lo is None else []
            row.save(update_fields=["epoch", "high_watermark", *moment])
    if lost:
        raise Halt(
            f"{topic}[{partition}]: the batch {row.pending_lo}-{row.pending_hi} may be half inserted, but Kafka has "
            f"lost the end of it: it ended at {high} or before. To give that batch up, start with "
            f"--from-offset {topic}:{partition}:latest (or earliest, to read again what it holds)",
            EXIT_DATA_LOSS,
        )
    pending = None
    if row.pending_lo is not None and row.pending_hi is not None:
        kept = codec.decode(bytes(row.pending_kept or b""), row.pending_lo)
        pending = Pending(row.pending_lo, row.pending_hi, kept, row.pending_token, row.updated_at)
    part = Partition(
        row=row.pk,
        consumer=consumer,
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        epoch=row.epoch,
        next_offset=row.next_offset,
        high_watermark=high,
        claims_since=row.claims_since,
    )
    return part, pending


def have_row(consumer: str, topic: str, topic_id: str, partition: int, low: int) -> None:
    """Make a partition's row unless there is one. To be called in a transaction; a new one waits for `no_new_rows`."""
    where = {"consumer": consumer, "topic_id": topic_id, "partition": partition}
    if not Offset.objects.filter(**where).exists():
        _lock_rows("pg_advisory_xact_lock_shared")
        Offset.objects.bulk_create([Offset(topic=topic, next_offset=low, **where)], ignore_conflicts=True)


def no_new_rows() -> None:
    """Until the caller's transaction ends nobody makes a row. Those that are there can be claimed."""
    _lock_rows("pg_advisory_xact_lock")


def _lock_rows(how: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {how}(%s, 0)", [_LOCK_CLASS])


def _bury(consumer: str, topic: str, topic_id: str) -> None:
    """Give up the half inserted batches of a topic of the same name that is no more, those of all its partitions:
    nobody can read them again."""
    gone = Offset.objects.filter(consumer=consumer, topic=topic).exclude(topic_id=topic_id)
    for row in gone.exclude(pending_lo=None).order_by("pk").select_for_update():
        log.critical(
            "batch_given_up",
            partition=str(row),
            lo=row.pending_lo,
            hi=row.pending_hi,
            todo="its topic was deleted: the aggregates may lack what got in. Run manage.py rebuild_views",
        )
        gone.filter(pk=row.pk).update(**_NOTHING_PENDING, epoch=row.epoch + 1, updated_at=clock.now())


def check(part: Partition) -> None:
    """Raise `Fenced` unless this partition is still ours."""
    with answering():
        if not Offset.objects.filter(pk=part.row, epoch=part.epoch).exists():
            raise Fenced(f"{part} was claimed by another process")


def before(part: Partition, *, hi: int, kept: codec.Offsets, token: str, letters: Sequence[DeadLetter] = ()) -> None:
    """Write down the batch `part.next_offset`..`hi` that is about to be inserted, with its dead letters.

    Raises `Fenced` when the partition or the offset is no longer ours.
    """
    lo = part.next_offset
    with answering(), transaction.atomic():
        _guarded(
            part,
            pending_lo=lo,
            pending_hi=hi,
            pending_kept=codec.encode(kept, lo),
            pending_token=token,
            claims_since=part.claims_since,
        )
        _keep(letters)


def after(part: Partition, *, hi: int) -> None:
    """The pending batch up to `hi` is stored: go on behind it. Raises `Fenced`."""
    with answering(), transaction.atomic():
        _guarded(part, next_offset=hi + 1, **_NOTHING_PENDING)
    part.next_offset = hi + 1


def advance(part: Partition, *, hi: int, letters: Sequence[DeadLetter] = ()) -> None:
    """Everything up to `hi` is stored (or was a dead letter): one transaction for a sink that may repeat its writes.

    Raises `Fenced`.
    """
    with answering(), transaction.atomic():
        _guarded(part, next_offset=hi + 1, **_NOTHING_PENDING, claims_since=part.claims_since)
        _keep(letters)
    part.next_offset = hi + 1


def behind(consumer: str, coordinates: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The next offset of each (topic id, partition) that the ledger knows."""
    with answering():
        rows = Offset.objects.filter(consumer=consumer, topic_id__in={topic_id for topic_id, _ in coordinates})
        return {(row.topic_id, row.partition): row.next_offset for row in rows}


def _guarded(part: Partition, **values: Any) -> None:
    mine = Offset.objects.filter(pk=part.row, epoch=part.epoch, next_offset=part.next_offset)
    if mine.update(high_watermark=part.high_watermark, updated_at=clock.now(), **values):
        return
    # The answer to an earlier, successful try of the same write may have been lost.
    if (
        "next_offset" in values
        and Offset.objects.filter(pk=part.row, epoch=part.epoch, next_offset=values["next_offset"]).exists()
    ):
        return
    raise Fenced(f"{part} was claimed by another process, or moved")


def _keep(letters: Sequence[DeadLetter]) -> None:
    if letters:
        DeadLetter.objects.bulk_create(letters, batch_size=500, ignore_conflicts=True)
