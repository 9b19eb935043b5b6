"""The door to Kafka: producers, consumers and the admin client with the settings that must hold everywhere."""

import logging
import os
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from functools import cache, partial
from typing import Any, NoReturn

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from django.conf import settings

from nova.errors import Ambiguous, Permanent, Transient

# What the client library says goes through our logging and not to the terminal.
_log = logging.getLogger("kafka")
# More than brokers usually take, so that it is they who judge: they count a message compressed, with all its parts.
_MOST_BYTES = 8 * 1024 * 1024


class TooLarge(Permanent):
    """Messages that Kafka does not take for their size. places: which of those given, ascending; the others are in."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__(f"{len(places)} messages are larger than Kafka takes")
        self.places = list(places)


def producer(**overrides: Any) -> Producer:
    """A producer that loses nothing: acknowledged by all replicas, idempotent, no silent drop on a full queue."""
    return Producer(
        {
            **settings.KAFKA,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.max.bytes": _MOST_BYTES,
            "delivery.timeout.ms": 10_000,
            "queue.buffering.max.messages": settings.INTAKE_QUEUE_MESSAGES,
            **overrides,
        },
        logger=_log,
    )


def consumer(group: str, **overrides: Any) -> Consumer:
    """A consumer that takes its offsets from the ledger: no automatic commit, no silent jump of the offset."""
    return Consumer(
        {
            **settings.KAFKA,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "partition.assignment.strategy": "cooperative-sticky",
            "isolation.level": "read_committed",
            "max.poll.interval.ms": 300_000,
            "session.timeout.ms": 10_000,
            # Members learn from their heartbeats that one has come or gone; a move of partitions takes two rounds.
            "heartbeat.interval.ms": 500,
            "fetch.wait.max.ms": 50,
            **overrides,
        },
        logger=_log,
    )


def _new_admin() -> AdminClient:
    # Silent: what fails is raised to the caller, and a broker that is down would fill the log every second.
    return AdminClient({**settings.KAFKA, "socket.timeout.ms": 5000, "log_level": 0})


@cache
def admin() -> AdminClient:
    return _new_admin()


def topic_ids(*names: str, timeout: float = 10) -> dict[str, str]:
    """The id that the cluster gave each topic; a topic that was deleted and made again has another one.

    Raises `KafkaException` for a topic that does not exist or a cluster that does not answer within `timeout` seconds.
    """
    described = admin().describe_topics(TopicCollection(list(names)), request_timeout=timeout)
    return {name: str(future.result().topic_id) for name, future in described.items()}


def topic_ids_there(names: Collection[str], timeout: float = 10) -> dict[str, str]:
    """As `topic_ids`, without those topics that do not exist."""
    found: dict[str, str] = {}
    if names:
        described = admin().describe_topics(TopicCollection(list(names)), request_timeout=timeout)
        for name, future in described.items():
            try:
                found[name] = str(future.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
    return found


def members(group: str, timeout: float = 10) -> int:
    """How many processes are in a consumer group now. Raises `Transient`.

    Kafka is asked, and not the ledger's times: a consumer of a quiet partition writes nothing for hours.
    """
    return len(member_ids(group, timeout))


def member_ids(group: str, timeout: float = 10) -> set[str]:
    """The ids that Kafka gave the processes in a consumer group now. Raises `Transient`."""
    # Not by the shared client: one that has asked this before gets no more answer once the broker was restarted. Named,
    # since with the client its answers would go.
    client = _new_admin()
    try:
        described = client.describe_consumer_groups([group], request_timeout=timeout)[group]
        return {str(member.member_id) for member in described.result().members}
    except KafkaException as error:
        raise Transient(f"Kafka: {error.args[0].str()}") from error


def offset_of(message: Message) -> int:
    """The offset of a consumed message, which always has one."""
    offset = message.offset()
    assert offset is not None
    return offset


# A fatal error comes out of whatever polls at that moment, and makes callbacks of the same poll fail.
RAISED_WHEN_FATAL = (KafkaException, SystemError)


class SharedProducer:
    """One producer a process, made at first use, so that a forked worker never inherits its parent's."""

    def __init__(self, **overrides: Any) -> None:
        self._overrides = overrides
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._polled: Producer | None = None
        self._process = 0

    def get(self) -> Producer:
        with self._lock:
            if self._producer is None or self._process != os.getpid():
                self._producer, self._process = producer(**self._overrides), os.getpid()
            return self._producer

    def polled(self) -> Producer:
        """The same, with a thread that delivers its answers as they come."""
        client = self.get()
        with self._lock:
            if self._polled is not client:
                self._polled = client
                threading.Thread(target=self._poll, args=(client,), name="kafka-answers", daemon=True).start()
        return client

    def _poll(self, client: Producer) -> None:
        while self._producer is client or len(client):
            try:
                client.poll(1.0)
            except RAISED_WHEN_FATAL:
                # What is still to be answered is, as failed.
                self.drop(client)

    def drop(self, broken: Producer) -> None:
        """Make a new one at the next use: an idempotent producer never recovers from a fatal error."""
        with self._lock:
            if self._producer is broken:
                self._producer = None


_shared = SharedProducer()
# How long to wait before the next try while the queue to the broker is full.
_FULL_SECONDS = 0.01
Headers = list[tuple[str, str | bytes | None]]
Record = tuple[bytes | None, bytes | None, Headers | None]


def send(topic: str, records: Iterable[Record], *, timeout: float) -> None:
    """Write (key, value, headers) records to a topic and wait until the broker has acknowledged every one.

    timeout: seconds. Raises `Transient` when nothing was handed over, `Ambiguous` when some may have been written: send
    all again, the readers know repeats by their ids. `TooLarge` when all were written but those that it names.
    """
    client = _shared.polled()
    deadline = time.monotonic() + timeout
    records = list(records)
    answers: dict[int, KafkaError | None] = {}
    answered = threading.Event()

    def note(place: int, error: KafkaError | None, message: Any = None) -> None:
        answers[place] = error
        if len(answers) == len(records):
            answered.set()

    for place, (key, value, headers) in enumerate(records):
        kind = Ambiguous if place else Transient
        try:
            while not _accepted(client, topic, key, value, headers, partial(note, place)):
                if time.monotonic() >= deadline:
                    raise kind(f"the queue to Kafka is full and did not empty within {timeout} s")
                time.sleep(_FULL_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                _give_up(client, error.args[0], kind)
            note(place, error.args[0])
    if records and not answered.wait(max(0.0, deadline - time.monotonic())):
        raise Ambiguous(f"Kafka did not acknowledge within {timeout} s")
    failed = {place: error for place, error in answers.items() if error is not None}
    for failure in failed.values():
        if failure.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            _give_up(client, failure, Ambiguous)
    if failed:
        raise TooLarge(sorted(failed))


def is_fatal(error: KafkaError) -> bool:
    """Whether the producer is of no use any more (see `SharedProducer.drop`): it says so in either of two ways."""
    return error.fatal() or error.code() == KafkaError._FATAL


def _accepted(client: Producer, topic: str, key: Any, value: Any, headers: Any, on_delivery: Any) -> bool:
    try:
        client.produce(topic, value, key, on_delivery=on_delivery, headers=headers or [])
    except BufferError:
        return False
    return True


def _give_up(client: Producer, error: KafkaError, kind: type[Transient]) -> NoReturn:
    if is_fatal(error):
        _shared.drop(client)
    raise kind(f"Kafka did not take the messages: {error.str()}")
