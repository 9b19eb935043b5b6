"""Batches so large that they are decoded while they collect: as exact as small ones."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from nova import kafka, topics
from tests.apps import Apps
from tests.integration.ingest import Crowd, Tail, assert_as_sent
from tests.world import World


@pytest.fixture
def tail(apps: Apps, world: World) -> Iterator[Tail]:
    looking = Tail(world)
    yield looking
    looking.close()


def test_a_long_queue_in_one_partition_with_poison_and_repeats(tail: Tail, world: World, apps: Apps) -> None:
    crowd, key = Crowd(), uuid4().bytes
    apps.process("events").stop()
    events = crowd.events(30_000, user_id=UUID(bytes=key))
    records = []
    for place, event in enumerate(events):
        records.append((key, event.line(), None))
        if place % 3000 == 7:
            records.append((key, b"poison %d" % place, None))
        if place % 1000 == 9:
            records.append((key, events[place // 2].line(), None))
    kafka.send(topics.EVENTS, records, timeout=60)
    crowd.sent |= {event.event_id for event in events}
    apps.restart("events")
    tail.wait()
    crowd.assert_exact()
    assert_as_sent(events)
    letters = world.sql_rows('SELECT raw FROM dead_letters WHERE key = %s ORDER BY "offset"', key)
    assert [bytes(raw) for (raw,) in letters] == [b"poison %d" % place for place in range(7, 30_000, 3000)]


def test_a_kill_in_a_long_queue(tail: Tail, apps: Apps) -> None:
    crowd, user = Crowd(), uuid4()
    apps.process("events").stop()
    crowd.send(crowd.events(40_000, user_id=user))
    for _ in range(3):
        apps.restart("events")
        apps.process("events").kill()
    apps.restart("events")
    tail.wait()
    crowd.assert_exact()
