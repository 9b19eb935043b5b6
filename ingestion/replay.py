"""Sending dead letters on their way again: for the admin, the command and the sweep alike.

The same bytes under the same key go to the partition they came from. So an event keeps its id and counts once, and an
old change of a row loses against a newer one by its version. What fails again is a new dead letter at a new place,
whose header names the first one.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from community.models import User
from ingestion.dead_letters import REPLAY_OF, header_bytes
from ingestion.models import DeadLetter, Replay
from nova import kafka

_AT_ONCE = 100
_producer = kafka.SharedProducer()


@dataclass
class Outcome:
    """What became of the letters. sent: acknowledged by Kafka; already: replayed or dismissed before, left alone; busy:
    somebody else is replaying them now; failed: Kafka did not take them (`error` says why), or was not asked any more
    since it did not answer; they can be replayed again.
    """

    sent: int = 0
    already: int = 0
    busy: int = 0
    failed: int = 0
    error: str = ""

    @property
    def total(self) -> int:
        return self.sent + self.already + self.busy + self.failed

    def __str__(self) -> str:
        parts = [f"{self.sent} replayed"]
        parts += [f"{self.already} already replayed or dismissed before"] if self.already else []
        parts += [f"{self.busy} being replayed by someone else"] if self.busy else []
        parts += [f"{self.failed} failed: {self.error}"] if self.failed else []
        return ", ".join(parts)


def matching(
    *,
    ids: Sequence[int] = (),
    topic: str = "",
    reason: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[DeadLetter]:
    """The letters that wait and match every filter given, oldest first."""
    found = DeadLetter.objects.filter(state=DeadLetter.State.WAITING)
    if ids:
        found = found.filter(pk__in=ids)
    if topic:
        found = found.filter(topic=topic)
    if reason:
        found = found.filter(reason=reason)
    if since:
        found = found.filter(created_at__gte=since)
    if until:
        found = found.filter(created_at__lt=until)
    return found.order_by("pk")


def replay(
    letter_ids: Iterable[int],
    *,
    by: User | None,
    detail: str = "",
    rate: float | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Send these letters again, each once, and write down who did it. Safe to call twice, and by two at once.

    by: the member of staff, None for the command line; detail: kept with each replay; rate: most letters a second;
    progress: told how many were dealt with after each step. Does not raise for a broker that does not answer.
    """
    outcome = Outcome()
    at_once = _AT_ONCE if rate is None else max(1, min(_AT_ONCE, int(rate)))
    ids = list(dict.fromkeys(letter_ids))
    for start in range(0, len(ids), at_once):
        began = time.monotonic()
        some = ids[start : start + at_once]
        answered = _replay(some, outcome, by=by, detail=detail)
        progress(len(some))
        if not answered and _is_away():
            # To wait for each step anew would take minutes in the admin, hours in the command, and a try of each.
            outcome.failed += len(ids) - start - len(some)
            break
        if rate is not None and start + at_once < len(ids):
            time.sleep(max(0.0, len(some) / rate - (time.monotonic() - began)))
    return outcome


def _replay(ids: Sequence[int], outcome: Outcome, *, by: User | None, detail: str) -> bool:
    """Lock, send, mark; False when Kafka did not answer to any of them.

    A crash before the last leaves letters waiting that were sent: sending them again is safe.
    """
    with transaction.atomic():
        letters = list(DeadLetter.objects.select_for_update(skip_locked=True).filter(pk__in=ids).order_by("pk"))
        outcome.busy += len(ids) - len(letters)
        waiting = [letter for letter in letters if letter.state == DeadLetter.State.WAITING]
        audit = [
            Replay(letter=letter, by=by, outcome=Replay.Outcome.REFUSED, detail=f"was {letter.state} before")
            for letter in letters
            if letter.state != DeadLetter.State.WAITING
        ]
        outcome.already += len(audit)
        deliveries = _send(waiting)
        for letter, delivery in zip(waiting, deliveries, strict=True):
            entry = Replay(letter=letter, by=by, target_topic=letter.topic, detail=detail)
            if delivery.error:
                entry.outcome, entry.detail = Replay.Outcome.FAILED, delivery.error
                outcome.failed += 1
                outcome.error = delivery.error
            else:
                entry.outcome = Replay.Outcome.SENT
                entry.target_partition, entry.target_offset = delivery.partition, delivery.offset
                letter.state = DeadLetter.State.REPLAYED
                letter.replay_count += 1
                outcome.sent += 1
            audit.append(entry)
        DeadLetter.objects.bulk_update(waiting, ["state", "replay_count"])
        Replay.objects.bulk_create(audit)
    return not deliveries or any(delivery.answered for delivery in deliveries)


def _is_away() -> bool:
    """Whether Kafka does not answer at all, and not only for a topic that is no longer there."""
    try:
        _producer.get().list_topics(timeout=settings.INTAKE_ACK_SECONDS)
    except KafkaException:
        return True
    return False


@dataclass
class _Delivery:
    """Where one message came to lie, or why it did not."""

    partition: int | None = None
    offset: int | None = None
    error: str = field(default="Kafka did not acknowledge it in time")

    fatal: bool = False
    answered: bool = False

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        self.answered = error is None or error.code() != KafkaError._MSG_TIMED_OUT
        if error is not None:
            self.error, self.fatal = error.str(), kafka.is_fatal(error)
        else:
            self.partition, self.offset, self.error = message.partition(), message.offset(), ""


def _send(letters: Sequence[DeadLetter]) -> list[_Delivery]:
    """Publish the letters, each to the partition that it came from, and wait for the broker."""
    deliveries = [_Delivery() for _ in letters]
    if not letters:
        return deliveries
    client = _producer.get()
    for letter, delivery in zip(letters, deliveries, strict=True):
        try:
            client.produce(
                letter.topic,
                _bytes(letter.raw),
                _bytes(letter.key),
                # Not by the key: Debezium and librdkafka choose different partitions for one key.
                partition=letter.partition,
                headers=headers(letter),
                on_delivery=delivery,
            )
        except BufferError as error:
            delivery.error = str(error)
        except KafkaException as error:
            delivery(error.args[0], None)
    try:
        client.flush(settings.INTAKE_ACK_SECONDS)
        over = any(delivery.fatal for delivery in deliveries)
    except kafka.RAISED_WHEN_FATAL:
        over = True
    if over:
        _producer.drop(client)
    return deliveries


def headers(letter: DeadLetter) -> list[tuple[str, str | bytes | None]]:
    """The headers that the message came with, and which letter it was."""
    came: list[tuple[str, str | bytes | None]] = [
        (name, header_bytes(value)) for name, value in letter.headers if name != REPLAY_OF
    ]
    return [*came, (REPLAY_OF, str(letter.pk).encode())]


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
