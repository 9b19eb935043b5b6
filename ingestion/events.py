"""The sink of `run_events_consumer`: each event exactly once into `events` and every view on it (design: README).

A batch goes: decode → drop what is known → write the decision down (BEFORE) → insert under a token → go on (AFTER).
From BEFORE on, the decision is only carried out, by this process or by the next one, never taken anew.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import structlog
from confluent_kafka import Message
from django.conf import settings

from ingestion import columns, dead_letters, dedup, holes, ledger, preflight, resend, writer
from ingestion.digest import Digest, digest, last_offset
from ingestion.errors import EXIT_UNEXPECTED, Halt
from ingestion.ledger import Partition, Pending
from nova import clock, metrics, topics
from nova.errors import Transient
from nova.kafka import offset_of

log = structlog.get_logger(__name__)

_LARGE = 1_000_000


@dataclass(frozen=True)
class _Decided:
    """A batch that only remains to be inserted. since: when it was decided; again: it may be half inserted already."""

    hi: int
    token: str
    new: columns.Columns
    body: bytes
    since: datetime
    again: bool = False


class EventsSink:
    """See `ingestion.sink.Sink`. doubt_tokens: ClickHouse may have forgotten every token (see `ingestion.resend`)."""

    def __init__(self, name: str = dedup.GROUP, *, doubt_tokens: bool = False) -> None:
        self.name = name
        self._doubt_tokens = doubt_tokens
        self.topics: Sequence[str] = (topics.EVENTS,)

    def prepare(self) -> None:
        # Arrow's own allocators keep what a large batch has freed.
        pa.set_memory_pool(pa.system_memory_pool())
        preflight.check_tables([writer.TABLE])
        preflight.check_claims_stay()
        # A start does not wait for PostgreSQL: whoever could not look here looks before its first batch.
        with suppress(Transient):
            preflight.check_alone(self.name)

    def redo(self, part: Partition, pending: Pending, messages: list[Message]) -> None:
        self._check_alone(part)
        again = set(pending.kept.tolist())
        kept = [message for message in messages if offset_of(message) in again]
        read = digest(kept)
        if read.failed or len(kept) != len(again):
            raise Halt(
                f"{part}: the batch {pending.lo}-{pending.hi} was being inserted, but of its {len(again)} events Kafka "
                f"holds {len(kept)}, and {len(read.failed)} can no longer be read",
                EXIT_UNEXPECTED,
            )
        body = read.events.arrow_stream(part.topic_id, part.partition)
        log.info("redo", partition=str(part), lo=pending.lo, hi=pending.hi, rows=len(kept))
        self._insert(part, _Decided(pending.hi, pending.token, read.events, body, pending.since, again=True))

    def condense(self, messages: list[Message]) -> tuple[Digest, int]:
        with self._timed("decode"):
            made = digest(messages)
        return made, made.nbytes

    def flush(self, part: Partition, messages: list[Message | Digest]) -> None:
        self._check_alone(part)
        hi = last_offset(messages)
        while part.next_offset <= hi:
            if part.memo is None:
                with self._timed("decode"):
                    batch = digest(messages).within(part.next_offset, hi)
                part.memo = self._decide(part, batch)
            if part.memo is not None:
                decided, part.memo = part.memo, replace(part.memo, again=True)
                self._insert(part, decided)
                part.memo = None
                if len(decided.body) > _LARGE:
                    # Back to the system: else what other threads free meanwhile adds up to half as much again.
                    pa.default_memory_pool().release_unused()

    def _check_alone(self, part: Partition) -> None:
        """Once for each claim, and after it: of two groups that start at the same moment one sees the other, and so
        does one that slept while another took its place."""
        if "alone" not in part.notes:
            preflight.check_alone(self.name)
            part.notes["alone"] = True

    def _decide(self, part: Partition, batch: Digest) -> _Decided | None:
        """Decide what of this batch is stored and write it down; None when that is nothing, and all is done."""
        fitting = _within_days(batch.events.days)
        if fitting < len(batch.events):
            batch = batch.within(part.next_offset, int(batch.events.offsets[fitting]) - 1)
        hi, found = batch.hi, batch.events
        failed = zip(batch.failed_at, batch.failed, strict=True)
        first_time = [position for position, (message, _) in failed if not dead_letters.is_replay(message)]
        limits = dead_letters.weigh(part, len(batch), first_time)
        letters = [dead_letters.letter(part, message, error) for message, error in batch.failed]
        with self._timed("dedup"):
            if "stored_up_to" not in part.notes:
                part.notes["stored_up_to"] = writer.stored_up_to(part)
            verdict = dedup.decide(part, found, part.notes["stored_up_to"])
            new = found.where(verdict.keep)
        with self._timed("ledger"):
            decided = None
            if len(new):
                token, since = writer.token(part, hi), clock.now()
                body = new.arrow_stream(part.topic_id, part.partition)
                ledger.before(part, hi=hi, kept=new.offsets, token=token, letters=letters)
                decided = _Decided(hi, token, new, body, since)
            else:
                ledger.advance(part, hi=hi, letters=letters)
        dead_letters.note(part, limits)
        self._count(part, verdict.duplicates, [error.reason for _, error in batch.failed])
        if letters:
            dead_letters.try_to_publish(self.name)
        return decided

    def _insert(self, part: Partition, decided: _Decided) -> None:
        # Between BEFORE and here this process may have slept through a rebalance.
        ledger.check(part)
        # A cluster's Keeper commits a part and its token together; and the copy that is asked may lag.
        doubtful = decided.again and not settings.CLICKHOUSE_CLUSTER
        with self._timed("insert"):
            if doubtful and (self._doubt_tokens or resend.token_may_be_lost(decided.since)):
                self._insert_missing(part, decided)
            else:
                writer.insert(decided.body, decided.token)
            if doubtful and holes.started_since(decided.since):
                holes.fill(part, decided.new, decided.hi)
        with self._timed("ledger"):
            ledger.after(part, hi=decided.hi)
        metrics.CONSUMER_ROWS.labels(self.name, writer.TABLE).inc(len(decided.new))
        metrics.CONSUMER_BATCH_ROWS.labels(self.name).observe(len(decided.new))

    def _insert_missing(self, part: Partition, decided: _Decided) -> None:
        if len(rest := resend.missing(part, decided.new, decided.hi)):
            # A token that a view remembers would keep these rows out of it. The same one for every owner: another may
            # have found the same rows missing, and its insert be under way.
            writer.insert(rest.arrow_stream(part.topic_id, part.partition), f"{decided.token}:rest")

    def _count(self, part: Partition, duplicates: dict[str, int], reasons: list[str]) -> None:
        for why, count in duplicates.items():
            metrics.CONSUMER_DUPLICATES.labels(self.name, why).inc(count)
        for reason in reasons:
            metrics.CONSUMER_DEAD_LETTERS.labels(self.name, part.topic, reason).inc()

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        metrics.CONSUMER_BATCH_SECONDS.labels(self.name, step).observe(time.perf_counter() - started)


def _within_days(days: columns.Int64s) -> int:
    """How many of the first events lie within `MOST_DAYS` different days."""
    _, first_rows = np.unique(days, return_index=True)
    return len(days) if len(first_rows) <= writer.MOST_DAYS else int(np.sort(first_rows)[writer.MOST_DAYS])
