"""What the broker and PostgreSQL can do to the running consumers: nothing acknowledged is lost or doubled.

The last one makes the topic anew.
"""

import time
from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from ingestion.errors import EXIT_DATA_LOSS, EXIT_DEAD_LETTERS
from nova import kafka, topics
from tests.apps import Apps
from tests.client import Api, event, wait_until
from tests.integration import oracle
from tests.integration.commands import manage
from tests.integration.ingest import Crowd, Tail
from tests.world import World


def test_a_wrong_version_halts_instead_of_dead_letters_for_all(
    crowd: Crowd, tail: Tail, world: World, apps: Apps, stopped
) -> None:
    """Case 35: nothing can be read: exit code 4, no dead letter, no offset moved; the right version goes on."""
    before = {partition: offset for partition, offset, *_ in tail.rows()}
    word = f"unreadable {uuid4()}"
    kafka.send(topics.EVENTS, [(b"one key", f"{word} {number}".encode(), None) for number in range(8)], timeout=20)
    crowd.send_to(0, 20)
    ran = manage("run_events_consumer", DEAD_LETTERS_IN_A_ROW="3")
    assert ran.code == EXIT_DEAD_LETTERS, ran.said
    assert "in a row could not be read (DEAD_LETTERS_IN_A_ROW is 3)" in ran.said
    hurt = [number for number, offset in before.items() if offset != tail.ends()[number]]
    assert hurt
    letters = "SELECT count(*) FROM dead_letters WHERE position(convert_to(%s, 'UTF8') IN raw) > 0"
    assert world.sql_one(letters, word) == 0
    # The limit of a good version lets them through, as dead letters.
    apps.restart("events")
    tail.wait()
    assert world.sql_one(letters, word) == 8
    crowd.assert_exact()


def test_without_the_broker_there_is_no_202(crowd: Crowd, tail: Tail, api: Api, world: World, prepared) -> None:
    """Case 32: Kafka is killed: 503. Accepted again, the same events count once."""
    member = world.member()
    post = world.post(world.member())
    body: dict[str, Any] = {"events": [event(member, post, "view") for _ in range(5)]}
    assert kafka.members("events") == 1
    prepared.engine("kafka").kill()
    try:
        answer = api.post("/api/events", member, body)
        assert answer.status == 503, answer
        assert answer.headers["Retry-After"]
    finally:
        prepared.engine("kafka").start()
    wait_until(lambda: api.post("/api/events", member, body).status == 202, "the broker's acknowledgement", 60)
    tail.wait()
    ids = {UUID(one["event_id"]) for one in body["events"]}
    oracle.assert_exact(ids, [post])
    # The library's client that was asked before the restart would not answer this any more.
    assert kafka.members("events") == 1


def test_postgresql_is_down_when_a_dead_letter_comes(crowd: Crowd, apps: Apps, api: Api, prepared) -> None:
    """Case 36: the offset moves with the dead letter or not at all."""
    key, word = uuid7().bytes, f"broken {uuid4()}"
    postgres = prepared.engine("postgres")
    postgres.kill()
    try:
        kafka.send(topics.EVENTS, [(key, f"{word} {n}".encode(), None) for n in range(5)], timeout=20)
        crowd.send(crowd.events(100))
        time.sleep(2)
    finally:
        postgres.start()
    world = World(api, prepared.env["DATABASE_URL"])
    tail = Tail(world)
    try:
        tail.wait()
        raw = world.sql_rows('SELECT raw FROM dead_letters WHERE key = %s ORDER BY "offset"', key)
        assert [bytes(one) for (one,) in raw] == [f"{word} {n}".encode() for n in range(5)]
    finally:
        tail.close()
        world.close()
    crowd.assert_exact()


def test_the_topic_is_made_again_while_it_is_read(crowd: Crowd, tail: Tail, apps: Apps, world: World) -> None:
    """Case 8: the consumer notices and ends with exit code 3; its next start reads the new topic from its start."""
    crowd.send(crowd.events(300))
    tail.wait()
    consumer = apps.process("events")
    kafka.admin().delete_topics([topics.EVENTS])[topics.EVENTS].result(20)
    wait_until(lambda: topics.EVENTS not in kafka.admin().list_topics(timeout=5).topics, "the topic deleted", 30)
    assert manage("migrate_topics").code == 0
    wait_until(lambda: not consumer.alive, "the end of the consumer", 40)
    assert consumer.exit_code == EXIT_DATA_LOSS
    assert "deleted and made again" in consumer.last_words()
    # Resent by clients, beside new ones.
    again = Crowd(users=crowd.users, posts=crowd.posts, author=crowd.author)
    again.send(again.events(300))
    crowd.sent |= again.sent
    consumer.start()
    consumer.wait_healthy()
    fresh = Tail(world)
    try:
        fresh.wait()
    finally:
        fresh.close()
    crowd.assert_exact()
