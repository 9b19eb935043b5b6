"""The door to Kafka: producers, consumers and the admin client with the settings that must hold everywhere."""

import threading
from functools import cache
from typing import Any

from confluent_kafka import Consumer, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from django.conf import settings


def producer(**overrides: Any) -> Producer:
    """A producer that loses nothing: acknowledged by all replicas, idempotent, no silent drop on a full queue."""
    return Producer(
        {
            **settings.KAFKA,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "delivery.timeout.ms": 10_000,
            "queue.buffering.max.messages": settings.INTAKE_QUEUE_MESSAGES,
            **overrides,
        }
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
            "fetch.wait.max.ms": 50,
            **overrides,
        }
    )


@cache
def admin() -> AdminClient:
    return AdminClient({**settings.KAFKA, "socket.timeout.ms": 5000})


def topic_ids(*names: str, timeout: float = 10) -> dict[str, str]:
    """The id that the cluster gave each topic; a topic that was deleted and made again has another one.

    Raises `KafkaException` for a topic that does not exist or a cluster that does not answer within `timeout` seconds.
    """
    described = admin().describe_topics(TopicCollection(list(names)), request_timeout=timeout)
    return {name: str(future.result().topic_id) for name, future in described.items()}


class SharedProducer:
    """One producer a process, made at first use, so that a forked worker never inherits its parent's."""

    def __init__(self, **overrides: Any) -> None:
        self._overrides = overrides
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def get(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = producer(**self._overrides)
            return self._producer
