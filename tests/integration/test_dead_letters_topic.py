"""Dead letters reach their topic, whatever their size and number, and hold back no consumer."""

import os
from uuid import uuid4

from nova import kafka, topics
from tests.apps import Apps
from tests.client import wait_until
from tests.integration.ingest import Crowd, Tail, published
from tests.world import World


def unpublished(world: World, key: bytes) -> int:
    return world.sql_one("SELECT count(*) FROM dead_letters WHERE key = %s AND published_at IS NULL", key)


def test_a_letter_as_large_as_a_message_may_be_holds_nothing_back(
    crowd: Crowd, tail: Tail, world: World, apps: Apps
) -> None:
    """Beside a poison that is just below what the client library sends by default, and one that with our headers is
    more than the broker takes, the small one is published, and the consumer starts again."""
    key = uuid4().bytes
    # No JSON whatever follows.
    fits, too_large, small = (b"no event" + os.urandom(more) for more in (999_892, 1_048_392, 0))
    producer = kafka.producer(**{"message.max.bytes": 2_000_000})
    for value in (fits, too_large, small):
        producer.produce(topics.EVENTS, value, key, partition=0, headers=[("trace", b"abc")])
    assert producer.flush(20) == 0
    tail.wait()
    raw = world.sql_rows('SELECT raw FROM dead_letters WHERE key = %s ORDER BY "offset"', key)
    assert [bytes(one) for (one,) in raw] == [fits, too_large, small], "the table has every byte"

    wait_until(lambda: unpublished(world, key) == 0, "all three published", 30)
    by_offset = {dict(message.headers())["dlq.offset"]: message for message in published(key, 3)}
    first, second, third = (by_offset[offset] for offset in sorted(by_offset, key=int))
    assert (first.value(), second.value(), third.value()) == (fits, None, small)
    headers = dict(second.headers())
    assert headers["dlq.left_out"] == str(len(too_large)).encode()
    assert (headers["trace"], headers["dlq.reason"]) == (b"abc", b"not_json")
    assert "dlq.left_out" not in dict(first.headers())

    apps.restart("events")
    crowd.send(crowd.events(100))
    tail.wait()
    crowd.assert_exact()


def test_what_was_left_unpublished_follows_by_itself(world: World, apps: Apps) -> None:
    """More than one round, with no new dead letter and no start to set it off."""
    key = uuid4().bytes
    world.sql(
        """INSERT INTO dead_letters (consumer, topic, topic_id, partition, "offset", key, raw, headers, reason, field,
               detail, created_at, state, replay_count)
           SELECT 'events', 'events', %s, 0, n, %s, 'x', '[]', 'not_json', '', '', now(), 'waiting', 0
           FROM generate_series(1, 1200) AS n""",
        uuid4().hex,
        key,
    )
    wait_until(lambda: unpublished(world, key) == 0, "all published", 60)
    assert len(published(key, 1200)) == 1200
