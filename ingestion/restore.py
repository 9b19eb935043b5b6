"""After PostgreSQL was restored from a backup: its LSNs are smaller now, and change messages from before tell of a past
that did not happen.

A new restore epoch makes all versions from now on higher than those from before. The messages that were not stored yet
must be skipped with it, and the dead letters among them dismissed: they would get the new epoch and win over what the
restored database holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]
from django.conf import settings
from django.db import transaction
from django.db.models import F

from ingestion import cdc, connector, dedup, source
from ingestion.ledger import answering
from ingestion.models import DeadLetter, Offset, Replay
from nova import clickhouse, clock, kafka, topics
from nova.errors import Permanent, Transient

_SECONDS = 10.0
_MOST = 255
# More than there can have been since the backup.
_CLAIMS = 1_000_000


@dataclass(frozen=True)
class Bumped:
    """epoch: the new one; skipped: messages of the time before the restore that will not be stored; dismissed: dead
    letters of that time that waited."""

    epoch: int
    skipped: int
    dismissed: int


def obstacles() -> list[str]:
    """What must be stopped first, as sentences. Raises a `nova.errors` class when an engine does not answer."""
    found = []
    for command, usual, groups in (
        ("run_cdc_consumer", cdc.NAME, _groups(cdc.NAME, topics.CDC)),
        ("run_events_consumer", dedup.GROUP, _groups(dedup.GROUP, [topics.EVENTS])),
    ):
        for group in groups:
            if running := kafka.members(group):
                which = command if group == usual else f"{command} --group {group}"
                found.append(f"{which} runs ({running} processes): stop it, it would go on with the old epoch")
    with answering():
        slot = connector.slot_state()
    if slot and slot["active"]:
        found.append(
            f"the connector runs: stop it with PUT /connectors/{settings.CDC_CONNECTOR}/stop at Kafka Connect "
            "(setup_cdc --resnapshot starts it again)"
        )
    return found


def _groups(usual: str, read: Sequence[str]) -> list[str]:
    """The usual group, and each other one that has ever read these topics: any may be the one that goes on."""
    with answering():
        known = Offset.objects.filter(topic__in=read).order_by().values_list("consumer", flat=True)
        return sorted({usual, *known})


def bump(reason: str) -> Bumped:
    """Skip and dismiss what is left from before the restore and note a new epoch. Raises `Permanent` while something is
    running that must not; safe to repeat (an epoch too many does no harm, there are 255)."""
    if in_the_way := obstacles():
        raise Permanent("; ".join(in_the_way))
    epoch = source.restore_epoch() + 1
    if epoch > _MOST:
        raise Permanent(f"there have been {_MOST} restores; copy every table into an empty ClickHouse instead")
    skipped = _skip_to_the_end(_groups(cdc.NAME, topics.CDC))
    _leave_epochs()
    dismissed = _dismiss_letters(f"from before the restore noted as epoch {epoch}")
    clickhouse.command(
        "INSERT INTO restore_epochs (epoch, noted_at, reason) SELECT {epoch:UInt8}, now64(6), {reason:String}",
        {"epoch": epoch, "reason": reason},
        server_settings=clickhouse.INSERT_SETTINGS,
    )
    return Bumped(epoch, skipped, dismissed)


def _leave_epochs() -> None:
    """The events' claims of the lost time had epochs that would come again now, and with them perhaps a token that
    ClickHouse remembers for other rows."""
    with answering():
        Offset.objects.filter(topic=topics.EVENTS).update(epoch=F("epoch") + _CLAIMS)


def _skip_to_the_end(consumers: Sequence[str]) -> int:
    try:
        ids = kafka.topic_ids(*topics.CDC)
        described = kafka.admin().describe_topics(TopicCollection(list(topics.CDC)), request_timeout=_SECONDS)
        wanted = {
            TopicPartition(name, partition.id): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for name, future in described.items()
            for partition in future.result().partitions
        }
        ends = {
            (at.topic, at.partition): future.result().offset
            for at, future in kafka.admin().list_offsets(wanted, request_timeout=_SECONDS).items()
        }
    except KafkaException as error:
        raise Transient(f"Kafka: {error}") from error
    skipped = 0
    with answering(), transaction.atomic():
        for consumer, ((topic, partition), end) in product(consumers, ends.items()):
            row, _ = Offset.objects.select_for_update().get_or_create(
                consumer=consumer,
                topic_id=ids[topic],
                partition=partition,
                defaults={"topic": topic, "next_offset": 0},
            )
            skipped += max(0, end - row.next_offset)
            Offset.objects.filter(pk=row.pk).update(
                next_offset=end,
                high_watermark=end,
                epoch=F("epoch") + 1,
                pending_lo=None,
                pending_hi=None,
                pending_kept=None,
                pending_token="",
                updated_at=clock.now(),
            )
    return skipped


def _dismiss_letters(why: str) -> int:
    """Changes that wait as dead letters are replayed no more; how many. Each has `why` in its history."""
    with answering(), transaction.atomic():
        waiting = DeadLetter.objects.filter(topic__in=topics.CDC, state=DeadLetter.State.WAITING)
        ids = list(waiting.select_for_update().values_list("pk", flat=True))
        Replay.objects.bulk_create(
            [Replay(letter_id=number, outcome=Replay.Outcome.REFUSED, detail=why) for number in ids], batch_size=1000
        )
        DeadLetter.objects.filter(pk__in=ids).update(state=DeadLetter.State.DISMISSED)
    return len(ids)
