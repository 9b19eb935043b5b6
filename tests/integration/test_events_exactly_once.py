"""What the broker has acknowledged stands in ClickHouse once, and every aggregate agrees, whatever happens between."""

import random
import threading
import time
from uuid import UUID, uuid4

import numpy as np

from ingestion import columns, dead_letters, writer
from ingestion.contract import Event
from nova import clickhouse, kafka, redis, topics
from tests.apps import Apps
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.ingest import Crowd, Tail, assert_as_sent, published
from tests.world import World


def test_events_in_are_rows_out(crowd: Crowd, tail: Tail) -> None:
    events = crowd.events(5000)
    crowd.send(events)
    tail.wait()
    crowd.assert_exact()
    assert_as_sent(events)


def test_a_resend_counts_once(crowd: Crowd, tail: Tail) -> None:
    events = crowd.events(300)
    for _ in range(3):
        crowd.send(events)
        tail.wait()
    crowd.assert_exact()


def test_the_same_id_within_a_batch_counts_once(crowd: Crowd, tail: Tail) -> None:
    events = crowd.events(200, user_id=crowd.users[0])
    crowd.send([event for event in events for _ in range(3)])
    tail.wait()
    crowd.assert_exact()


def test_the_same_id_in_two_partitions_counts_once(crowd: Crowd, tail: Tail) -> None:
    identifier = uuid4()
    crowd.send([crowd.event(event_id=identifier, user_id=user) for user in crowd.users])
    tail.wait()
    crowd.assert_exact()


POISON = (b"", b"\xff\xfe\x00", b"{", b"[1]", b'{"event_id": NaN}', b'{"app_ver": "\\ud800"}', b"9" * 500)


def test_poison_becomes_a_dead_letter_and_the_rest_is_stored(crowd: Crowd, tail: Tail, world: World) -> None:
    key = uuid4().bytes
    good = crowd.events(50, user_id=UUID(bytes=key))
    broken = [*POISON, None, crowd.event(user_id=UUID(bytes=key)).line()[:-20]]
    records = []
    for place, event in enumerate(good):
        records.append((key, event.line(), None))
        if place < len(broken):
            records.append((key, broken[place], [("trace", b"\xff\x00raw")]))
    kafka.send(topics.EVENTS, records, timeout=20)
    crowd.sent |= {event.event_id for event in good}
    tail.wait()

    crowd.assert_exact()
    letters = world.sql_rows(
        'SELECT raw, reason, headers, topic_id, partition, "offset", published_at IS NOT NULL, state'
        ' FROM dead_letters WHERE key = %s ORDER BY "offset"',
        key,
    )
    assert [letter[0] for letter in letters] == broken
    assert {letter[1] for letter in letters} == {"no_value", "not_json", "schema"}
    assert all(letter[6] and letter[7] == "waiting" for letter in letters)
    assert dead_letters.header_bytes(letters[0][2][0][1]) == b"\xff\x00raw"
    found = published(key, len(letters))
    assert [message.value() for message in found] == broken
    headers = dict(found[0].headers())
    assert headers["dlq.reason"] == letters[0][1].encode()
    assert headers["dlq.offset"] == str(letters[0][5]).encode()
    assert headers["trace"] == b"\xff\x00raw"


def test_an_invalid_message_claims_nothing(crowd: Crowd, tail: Tail) -> None:
    event = crowd.event()
    bad = event.line().replace(b'"action":"', b'"action":"not-')
    kafka.send(topics.EVENTS, [(event.key(), bad, None)], timeout=20)
    tail.wait()
    crowd.send([event])
    tail.wait()
    crowd.assert_exact()


def test_redis_emptied_in_mid_run(crowd: Crowd, tail: Tail) -> None:
    events = crowd.events(2000)
    crowd.send(events[:1500])
    tail.wait()
    redis.durable(10.0).flushall()
    crowd.send(events)
    tail.wait()
    crowd.assert_exact()


def test_a_killed_consumer_loses_and_doubles_nothing(crowd: Crowd, tail: Tail, apps: Apps) -> None:
    chance = random.Random(1)
    finished = threading.Event()
    failures: list[BaseException] = []

    def produce() -> None:
        try:
            while not finished.is_set():
                batch = crowd.events(400)
                # Clients that did not get their answer send again.
                crowd.send(batch)
                crowd.send(chance.sample(batch, 20))
                finished.wait(0.1)
        except BaseException as error:
            failures.append(error)

    producer = threading.Thread(target=produce)
    producer.start()
    consumer = apps.process("events")
    try:
        for _ in range(4):
            before = {partition: offset for partition, offset, _, _ in tail.rows()}
            wait_until(
                lambda before=before: any(offset > before.get(number, 0) for number, offset, _, _ in tail.rows()),
                "progress",
            )
            time.sleep(chance.random() * 0.5)
            consumer.kill()
            consumer.start()
            consumer.wait_healthy()
    finally:
        finished.set()
        producer.join()
        if not consumer.alive:
            apps.restart("events")
    assert not failures
    tail.wait()
    assert len(crowd.sent) > 2000
    crowd.assert_exact()


def test_a_second_consumer_comes_and_goes(crowd: Crowd, tail: Tail, apps: Apps, prepared, tmp_path) -> None:
    from tests.apps import running_apps

    before = {number: epoch for number, *_, epoch in tail.rows()}
    crowd.send(crowd.events(1000))
    with running_apps(prepared.env, tmp_path, ("events",)) as others:
        wait_until(
            lambda: any(epoch > before[number] for number, *_, epoch in tail.rows()), "partitions that changed hands"
        )
        for _ in range(10):
            crowd.send(crowd.events(300))
        other = others.process("events")
        other.stop()
        crowd.send(crowd.events(1000))
    tail.wait()
    crowd.assert_exact()


def _body(events: list[Event], topic_id: str) -> bytes:
    offsets = np.arange(len(events), dtype=np.int64)
    stamps = np.full(len(events), int(time.time() * 1000), np.int64)
    read = columns.read([event.line() for event in events], offsets, stamps)
    assert not read.failed
    return read.columns.arrow_stream(topic_id, 0)


def test_a_batch_that_is_sent_again_is_absorbed_by_every_view(crowd: Crowd, prepared) -> None:
    events = crowd.events(500)
    token = f"test:{uuid4()}"
    body = _body(events, token)
    for _ in range(3):
        writer.insert(body, token)
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)


def test_the_oracle_bites(crowd: Crowd, prepared) -> None:
    """Negative control: without the token the same batch is doubled, and without the batch it is lost."""
    events = crowd.events(100)
    ids = {event.event_id for event in events}
    assert oracle.lost(ids) == ids
    body = _body(events, f"test:{uuid4()}")
    for _ in range(2):
        writer.insert(body, f"test:{uuid4()}")
    assert oracle.doubled(ids) == ids
    clickhouse.command(
        "INSERT INTO post_counters (post_day, post_id, views) SELECT today(), {post:UUID}, 1",
        {"post": str(crowd.posts[0])},
    )
    assert set(oracle.miscounted(crowd.posts)) == {"post_counters"}
    assert oracle.miscounted([uuid4()]) == {}
