"""Messages that can never be stored: kept as they came, published to the DLQ topic, and too many of them stop us."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog
from confluent_kafka import Message
from django.conf import settings
from django.db import transaction

from ingestion import ledger
from ingestion.errors import EXIT_DEAD_LETTERS, Halt, InvalidMessage
from ingestion.ledger import Partition
from ingestion.models import DeadLetter
from nova import clock, topics
from nova.depth import is_deeper
from nova.errors import NovaError
from nova.kafka import Headers, Record, TooLarge, offset_of, send

log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW = 1000
# What lies further back weighs next to nothing.
_LOOK_BACK = 5 * _WINDOW
# On a message that is a replay: the id of the dead letter it was.
REPLAY_OF = "nova.replay-of"
# Each may have a megabyte, and all are in memory at once.
_AT_ONCE = 100
# Bytes of key and headers that a letter without its value takes along.
_MOST_BESIDE = 100_000


@dataclass(frozen=True)
class Limits:
    """How many messages of a partition failed lately. Pure: each batch gives the next state.

    in_a_row: failures since the last good message; seen and bad: messages of the window of about `_WINDOW`, and the
    failed ones among them.
    """

    in_a_row: int = 0
    seen: int = 0
    bad: float = 0

    def after(self, count: int, failed: Sequence[int], *, most_in_a_row: int, share: float) -> "Limits":
        """The state after a batch of `count` messages of which those at the positions `failed` (ascending) failed.

        Raises `Halt` when more than `most_in_a_row` failed one after the other, or more than `share` of the last 1,000:
        then the decoder is wrong and not the data, and nothing of this batch may be stored as a dead letter.
        """
        run, longest, before = self.in_a_row, self.in_a_row if failed else 0, -1
        for position in failed:
            run = run + 1 if position == before + 1 else 1
            longest = max(longest, run)
            before = position
        if count and before != count - 1:
            run = 0
        if longest > most_in_a_row:
            raise Halt(
                f"{longest} messages in a row could not be read (DEAD_LETTERS_IN_A_ROW is {most_in_a_row}): "
                "this looks like a wrong version of Nova or of a producer. Nothing of this batch was stored",
                EXIT_DEAD_LETTERS,
            )
        seen, bad = self.seen + count, self.bad + len(failed)
        if seen > _WINDOW:
            # Older messages weigh less and less, instead of being remembered one by one. Not rounded down: of
            # batches of one message each nothing would ever be left.
            seen, bad = _WINDOW, bad * _WINDOW / seen
        if failed and seen == _WINDOW and bad > math.ceil(_WINDOW * share):
            raise Halt(
                f"{bad / seen:.0%} of the last messages could not be read (DEAD_LETTERS_SHARE is {share:.0%}): "
                "this looks like a wrong version of Nova or of a producer. Nothing of this batch was stored",
                EXIT_DEAD_LETTERS,
            )
        return replace(self, in_a_row=run, seen=seen, bad=bad)


def weigh(part: Partition, count: int, failed: Sequence[int]) -> Limits:
    """`Limits.after` with the settings, from what is known of this partition. Give the answer to `note` afterwards.

    Raises `Halt`, and `Transient` when PostgreSQL does not answer.
    """
    if "limits" not in part.notes:
        part.notes["limits"] = _lately(part)
    known: Limits = part.notes["limits"]
    return known.after(count, failed, most_in_a_row=settings.DEAD_LETTERS_IN_A_ROW, share=settings.DEAD_LETTERS_SHARE)


def note(part: Partition, limits: Limits) -> None:
    part.notes["limits"] = limits


def _lately(part: Partition) -> Limits:
    """How many messages before the next one failed, by the dead letters that are stored: a consumer that was halted and
    is started again by itself would write as many again. An offset that holds no message is as good as one read."""
    first = part.next_offset - max(_LOOK_BACK, settings.DEAD_LETTERS_IN_A_ROW)
    with ledger.answering():
        stored = DeadLetter.objects.filter(
            topic_id=part.topic_id, partition=part.partition, offset__gte=first, offset__lt=part.next_offset
        )
        first_time = stored.exclude(headers__contains=[[REPLAY_OF]]).order_by("-offset")
        ages = [part.next_offset - 1 - offset for offset in first_time.values_list("offset", flat=True)]
    return Limits(
        in_a_row=sum(age == place for place, age in enumerate(ages)),
        seen=min(_WINDOW, part.next_offset),
        bad=sum(math.exp(-age / _WINDOW) for age in ages),
    )


def is_replay(message: Message) -> bool:
    """Whether it was a dead letter before: that it fails again tells nothing of this version, however many do."""
    return any(name == REPLAY_OF for name, _ in _stored_headers(message) or ())


def letter(part: Partition, message: Message, error: InvalidMessage) -> DeadLetter:
    """The row of a message that failed with `error`; not saved (the ledger saves it together with the offset)."""
    raw = message.value()
    headers, detail = _stored_headers(message), error.detail
    if headers is None:
        headers, detail = [], f"{detail} (Its headers cannot be read.)"
    return DeadLetter(
        consumer=part.consumer,
        topic=part.topic,
        topic_id=part.topic_id,
        partition=part.partition,
        offset=offset_of(message),
        key=message.key(),
        raw=raw,
        headers=headers,
        message_time=_time(message.timestamp()[1]),
        reason=error.reason,
        field=_clean(error.field)[:100],
        detail=_clean(detail),
        decoded=_decoded(raw),
    )


def _stored_headers(message: Message) -> list[list[Any]] | None:
    """The headers as they are stored; None when Python cannot have them, since a name is no UTF-8."""
    try:
        headers = message.headers() or []
    except (UnicodeDecodeError, SystemError):
        return None
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [[name, _text(value)] for name, value in pairs]


def _text(value: Any) -> Any:
    """A header's value as text, or as base64 where it is none that PostgreSQL could store."""
    if value is None or isinstance(value, str):
        return value
    try:
        text: str = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    return {"base64": base64.b64encode(value).decode()} if "\0" in text else text


def header_bytes(value: Any) -> bytes | None:
    """A stored header's value as it came: the way back from what `letter` stored."""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return None if value is None else str(value).encode()


def _time(milliseconds: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds >= 0 else None
    except OverflowError:
        return None


def _clean(text: str) -> str:
    """Text as PostgreSQL can store it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:2000]


def _decoded(raw: bytes | None) -> Any:
    """The message as JSON for people to read; None where it is no JSON, or none that could be stored and shown."""
    if not raw or len(raw) > 100_000 or b"\\u0000" in raw:
        return None
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return None if is_deeper(said) else said


def publish(consumer: str) -> int:
    """Write stored dead letters that are not in the DLQ topic yet to it, oldest first; how many. At least once.

    At most `_AT_ONCE`: call it again while it returns so many. Raises `Transient` when PostgreSQL or Kafka does not
    answer; those left are taken by the next call.
    """
    with ledger.answering(), transaction.atomic():
        waiting = list(
            DeadLetter.objects.select_for_update(skip_locked=True)
            .filter(consumer=consumer, published_at=None)
            .defer("decoded")
            .order_by("id")[:_AT_ONCE]
        )
        for topic in (topics.DLQ_EVENTS, topics.DLQ_CDC):
            if rows := [row for row in waiting if _dlq(row) == topic]:
                _send(topic, rows)
        DeadLetter.objects.filter(pk__in=[row.pk for row in waiting]).update(published_at=clock.now())
    return len(waiting)


def try_to_publish(consumer: str) -> int:
    """The same as far as it succeeds: the rows are safe, and are tried again (ingestion/publishing.py)."""
    try:
        return publish(consumer)
    except NovaError as error:
        log.warning("dead_letters_unpublished", error=str(error))
        return 0


def _send(topic: str, rows: Sequence[DeadLetter]) -> None:
    try:
        send(topic, [_record(row) for row in rows], timeout=settings.INTAKE_ACK_SECONDS)
    except TooLarge as error:
        # A message of the greatest size that Kafka takes is too large with our headers.
        send(topic, [_without_value(rows[place]) for place in error.places], timeout=settings.INTAKE_ACK_SECONDS)


def _dlq(row: DeadLetter) -> str:
    return topics.DLQ_EVENTS if row.topic == topics.EVENTS else topics.DLQ_CDC


def _record(row: DeadLetter) -> Record:
    key, raw = (None if data is None else bytes(data) for data in (row.key, row.raw))
    return key, raw, _headers(row)


def _without_value(row: DeadLetter) -> Record:
    """Where the letter lies and why; its bytes are in its row only. `dlq.left_out`: how many."""
    key, raw, headers = _record(row)
    left_out = ("dlq.left_out", str(len(raw or b"")).encode())
    # It may as well be these that are large.
    came = sum(len(name) + len(value or b"") for name, value in headers or ()) + len(key or b"")
    if came > _MOST_BESIDE:
        key, headers = None, _why(row)
    return key, None, [*(headers or ()), left_out]


def _headers(row: DeadLetter) -> Headers:
    """What came with the message, then where it came from and why it is here."""
    came: Headers = [(name, header_bytes(value)) for name, value in row.headers]
    return [*came, *_why(row)]


def _why(row: DeadLetter) -> Headers:
    why = {
        "dlq.reason": row.reason,
        "dlq.field": row.field,
        "dlq.detail": row.detail,
        "dlq.consumer": row.consumer,
        "dlq.topic": row.topic,
        "dlq.topic_id": row.topic_id,
        "dlq.partition": str(row.partition),
        "dlq.offset": str(row.offset),
    }
    return [(name, value.encode()) for name, value in why.items()]
