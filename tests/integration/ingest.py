"""Events by the thousand for tests of ingestion, and waiting until the consumer is through with them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from confluent_kafka import Consumer, Message, TopicPartition
from uuid_utils.compat import uuid7

from ingestion import columns, intake
from ingestion.contract import Event
from nova import clickhouse, kafka, topics
from tests.client import wait_until
from tests.integration import oracle
from tests.world import World


@dataclass
class Crowd:
    """Members and posts of one test. `sent`: the ids of all events that the broker has acknowledged."""

    users: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(30)])
    posts: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(20)])
    author: UUID = field(default_factory=uuid7)
    sent: set[UUID] = field(default_factory=set)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def event(self, **changes: Any) -> Event:
        source = self.chance.choice(["client", "table", "service"])
        actions = ["impression", "view", "click", "like", "comment", "share"]
        if source != "client":
            actions += ["unlike", "uncomment"]
        fields: dict[str, Any] = {
            "event_id": uuid4(),
            "event_time": datetime.now(UTC) - timedelta(hours=self.chance.randrange(30)),
            "user_id": self.chance.choice(self.users),
            "post_id": self.chance.choice(self.posts),
            "author_id": self.author,
            "action": self.chance.choice(actions),
            "source": source,
            "dwell_ms": self.chance.randrange(3000),
            "device": self.chance.choice(["", "ios", "android", "web"]),
            "app_ver": self.chance.choice(["", "1.0", "2.5.1", f"3.{self.chance.randrange(50)}"]),
        }
        return Event(**fields | changes)

    def events(self, count: int, **changes: Any) -> list[Event]:
        return [self.event(**changes) for _ in range(count)]

    def send(self, events: Sequence[Event]) -> None:
        """Publish as the intake does; returns when the broker has them."""
        intake.publish(events)
        self.sent |= {event.event_id for event in events}

    def send_to(self, partition: int, count: int) -> list[Event]:
        """Events in this partition, whatever their key says; noted as sent."""
        producer = kafka.producer()
        for one in (events := self.events(count)):
            producer.produce(topics.EVENTS, one.line(), one.key(), partition=partition)
        assert producer.flush(20) == 0
        self.sent |= {one.event_id for one in events}
        return events

    def assert_exact(self) -> None:
        oracle.assert_exact(self.sent, self.posts)


def assert_as_sent(events: Sequence[Event]) -> None:
    """Each of these events, whose ids differ, stands in ClickHouse with every value that it was sent with."""
    names = [name for name in columns.COLUMNS if not name.startswith("_")]
    asked = ([("id", "UUID")], [(event.event_id,) for event in events])
    found = clickhouse.query(
        f"SELECT {', '.join(names)} FROM events WHERE event_id IN asked ORDER BY event_id", tables={"asked": asked}
    )
    sent = clickhouse.query("SELECT id FROM asked ORDER BY id", tables={"asked": asked})
    by_id = {event.event_id: tuple(getattr(event, name) for name in names) for event in events}
    assert found == [by_id[identifier] for (identifier,) in sent]


class Tail:
    """Is the events consumer through with everything that is in Kafka now?"""

    def __init__(self, world: World) -> None:
        self._world = world
        self._topic_id = kafka.topic_ids(topics.EVENTS)[topics.EVENTS]
        self._client: Consumer = kafka.consumer("tests-look-only")

    def close(self) -> None:
        self._client.close()

    def ends(self) -> dict[int, int]:
        listed = self._client.list_topics(topics.EVENTS, timeout=10).topics[topics.EVENTS]
        return {
            number: self._client.get_watermark_offsets(TopicPartition(topics.EVENTS, number), timeout=10)[1]
            for number in listed.partitions
        }

    def rows(self) -> list[tuple[Any, ...]]:
        """partition, next_offset, pending_lo, epoch."""
        return self._world.sql_rows(
            "SELECT partition, next_offset, pending_lo, epoch FROM consumer_offsets"
            " WHERE consumer = 'events' AND topic_id = %s",
            self._topic_id,
        )

    def caught_up(self) -> bool:
        reached = {partition: (offset, lo) for partition, offset, lo, _ in self.rows()}
        return all(reached.get(partition, (0, None)) == (end, None) for partition, end in self.ends().items())

    def wait(self, seconds: float = 120) -> None:
        wait_until(self.caught_up, "the events consumer at the end of its topic", seconds)


def published(key: bytes, count: int) -> list[Message]:
    """The messages with this key in the DLQ topic, once there are so many."""
    client = kafka.consumer(f"tests-{uuid4()}", **{"auto.offset.reset": "earliest"})
    client.subscribe([topics.DLQ_EVENTS])
    found: list[Message] = []
    try:
        wait_until(
            lambda: (
                found.extend(m for m in client.consume(100, 0.2) if not m.error() and m.key() == key)
                or len(found) >= count
            ),
            "dead letters in the DLQ topic",
        )
    finally:
        client.close()
    return found
