"""Being the owner of partitions: the ledger says where to go on, Kafka says whether it still can."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingestion import ledger
from ingestion.batcher import Batcher, Bounds
from ingestion.errors import EXIT_DATA_LOSS, Halt
from ingestion.flushing import Held
from ingestion.ledger import Partition
from nova import kafka
from nova.errors import Transient

log = structlog.get_logger(__name__)
T = TypeVar("T")

# How long an assignment may wait for PostgreSQL and Kafka in all: nobody polls meanwhile, so far below
# max.poll.interval.ms.
_ASSIGN_SECONDS = 60.0
# The loop that asks this polls nothing meanwhile.
_TOPIC_SECONDS = 2.0
# What the client itself reports while a broker is away; it does not call them retriable, but they pass.
_AWAY = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    # A broker that has just come back does not lead its partitions yet.
    KafkaError._UNKNOWN_PARTITION,
)


class NotAssigned(Transient):
    """PostgreSQL or Kafka did not answer for as long as an assignment may take: none of its partitions is ours."""


def take(
    client: Consumer, consumer: str, wanted: list[TopicPartition], bounds: Bounds, stopping: Callable[[], bool]
) -> Iterator[Held]:
    """Claim partitions in the ledger, one after the other. Raises as `ledger.claim`, and `NotAssigned`."""
    deadline = time.monotonic() + _ASSIGN_SECONDS

    def insist(call: Callable[[], T]) -> T:
        try:
            return patiently(call, stopping, deadline - time.monotonic())
        except (Transient, KafkaException) as error:
            if not _passes(error):
                raise
            raise NotAssigned(str(error)) from error

    ids = insist(lambda: kafka.topic_ids(*{where.topic for where in wanted}))
    for where in wanted:
        # Many partitions take a while, or few where PostgreSQL is slow: that is no stall.
        stopping()
        low, high = insist(partial(client.get_watermark_offsets, where, timeout=10))
        part, pending = insist(
            partial(
                ledger.claim, consumer, where.topic, ids[where.topic], where.partition, low=int(low), high=int(high)
            )
        )
        redo = pending.hi if pending else None
        batcher: Batcher[Any] = Batcher(bounds, next_offset=part.next_offset, redo=redo)
        yield Held(part, batcher, pending)


def patiently(call: Callable[[], T], stopping: Callable[[], bool], seconds: float = float("inf")) -> T:
    """What `call` returns, once PostgreSQL, ClickHouse and Kafka answer.

    After `seconds`, or when the process is `stopping`, the last error is raised; one that will not pass, at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (Transient, KafkaException) as error:
            if not _passes(error) or stopping() or time.monotonic() >= deadline:
                raise
            log.warning("waiting", error=str(error)[:500])
            time.sleep(1)


def _passes(error: Exception) -> bool:
    if not isinstance(error, KafkaException):
        return True
    said: KafkaError = error.args[0]
    return said.retriable() or said.code() in _AWAY


def check_topics(parts: Iterable[Partition]) -> None:
    """Raise `Halt` when a topic was deleted and made again since its partitions were claimed.

    The client goes on in the new topic as if it were the old one, where the same offsets are other messages.
    """
    known = {part.topic: part.topic_id for part in parts}
    if not known:
        return
    try:
        ids = kafka.topic_ids(*known, timeout=_TOPIC_SECONDS)
    except KafkaException as error:
        log.warning("topics_not_checked", error=str(error)[:500])
        return
    if other := sorted(topic for topic, topic_id in ids.items() if topic_id != known[topic]):
        raise Halt(
            f"{', '.join(other)}: deleted and made again while being read. What was not stored of the old one is gone; "
            "start again to read the new one from its beginning",
            EXIT_DATA_LOSS,
        )


def high(client: Consumer, part: Partition) -> int:
    """The end of a partition as the client last heard of it; −1 when it has not."""
    try:
        _, end = client.get_watermark_offsets(TopicPartition(part.topic, part.partition), cached=True)
    except KafkaException:
        return -1
    return int(end)


def commit(client: Consumer, part: Partition) -> None:
    """Tell those who watch lag in Kafka. The ledger decides where to go on, so a failure does not matter."""
    try:
        client.commit(offsets=[TopicPartition(part.topic, part.partition, part.next_offset)], asynchronous=True)
    except KafkaException as error:
        log.debug("commit", partition=str(part), error=str(error))
