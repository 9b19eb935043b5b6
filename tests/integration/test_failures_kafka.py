"""What Kafka and the engines around it can do to the running consumers: nothing acknowledged is lost or doubled.

In the order of how much they disturb; the last one makes the topic anew.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from uuid_utils.compat import uuid7

from embedded.service import http_ok
from ingestion import dedup, ledger, rewind
from ingestion.consumer import Runtime
from ingestion.errors import EXIT_DATA_LOSS, EXIT_DEAD_LETTERS, EXIT_FENCED, EXIT_SETTINGS, Fenced, Halt
from ingestion.events import EventsSink
from ingestion.models import Offset
from nova import clock, kafka, redis, topics
from nova.errors import Permanent
from tests.apps import ROOT, Apps
from tests.client import Api, event, wait_until
from tests.integration import oracle
from tests.integration.batches import lines, messages
from tests.integration.commands import manage, started
from tests.integration.ingest import Crowd, Tail
from tests.world import World


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def tail(apps: Apps, world: World) -> Iterator[Tail]:
    looking = Tail(world)
    yield looking
    looking.close()


@pytest.fixture
def stopped(apps: Apps, tail: Tail) -> Iterator[None]:
    """The events consumer has read all there was, and is stopped for the time of the test."""
    tail.wait()
    apps.process("events").stop()
    yield
    if not apps.process("events").alive:
        apps.restart("events")


def consume(**environment: str) -> tuple[int, str]:
    """Run `manage.py run_events_consumer` until it ends by itself; its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", "run_events_consumer"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def send_to(partition: int, crowd: Crowd, count: int, *, acknowledged: bool = True) -> None:
    """Events of the crowd in this partition."""
    producer = kafka.producer()
    for one in (events := crowd.events(count)):
        producer.produce(topics.EVENTS, one.line(), one.key(), partition=partition)
    assert producer.flush(20) == 0
    if acknowledged:
        crowd.sent |= {one.event_id for one in events}


def end_of(tail: Tail, partition: int) -> int:
    return tail.ends()[partition]


# Gaps and poison


def test_offsets_with_gaps(crowd: Crowd, tail: Tail) -> None:
    """Case 30: transactions, one of them aborted, leave offsets that hold no message for us."""
    producer = kafka.producer(**{"transactional.id": f"tests-{uuid4()}"})
    producer.init_transactions(20)
    aborted = crowd.events(50)
    for events, ends in ((crowd.events(50), "commit"), (aborted, "abort"), (crowd.events(50), "commit")):
        producer.begin_transaction()
        for one in events:
            producer.produce(topics.EVENTS, one.line(), one.key(), partition=1)
        if ends == "commit":
            producer.commit_transaction(20)
            crowd.sent |= {one.event_id for one in events}
        else:
            producer.flush(20)
            producer.abort_transaction(20)
    send_to(1, crowd, 10)
    tail.wait()
    crowd.assert_exact()
    assert len(oracle.lost({one.event_id for one in aborted})) == 50


def test_a_wrong_version_halts_instead_of_dead_letters_for_all(
    crowd: Crowd, tail: Tail, world: World, apps: Apps, stopped
) -> None:
    """Case 35: nothing can be read: exit code 4, no dead letter, no offset moved; the right version goes on."""
    before = {partition: offset for partition, offset, *_ in tail.rows()}
    word = f"unreadable {uuid4()}"
    kafka.send(topics.EVENTS, [(b"one key", f"{word} {number}".encode(), None) for number in range(8)], timeout=20)
    send_to(0, crowd, 20)
    code, said = consume(DEAD_LETTERS_IN_A_ROW="3")
    assert code == EXIT_DEAD_LETTERS, said
    assert "in a row could not be read (DEAD_LETTERS_IN_A_ROW is 3)" in said
    hurt = [number for number, offset in before.items() if offset != end_of(tail, number)]
    assert hurt
    letters = "SELECT count(*) FROM dead_letters WHERE position(convert_to(%s, 'UTF8') IN raw) > 0"
    assert world.sql_one(letters, word) == 0
    # The limit of a good version lets them through, as dead letters.
    apps.restart("events")
    tail.wait()
    assert world.sql_one(letters, word) == 8
    crowd.assert_exact()


# Offsets by hand, and retention


def test_a_running_group_is_not_moved(tail: Tail) -> None:
    """--from-offset is refused while a process of the group runs."""
    before = sorted(tail.rows())
    ran = manage("run_events_consumer", "--from-offset", "events:*:earliest", "--yes")
    assert (ran.code, "Stop them first" in ran.said) == (EXIT_SETTINGS, True), ran.said
    assert sorted(tail.rows()) == before


def test_without_a_confirmation_nothing_is_moved(tail: Tail, stopped) -> None:
    """--from-offset asks, and in a script wants --yes."""
    before = sorted(tail.rows())
    ran = manage("run_events_consumer", "--from-offset", "events:0:earliest")
    assert (ran.code, "say --yes" in ran.said) == (EXIT_SETTINGS, True), ran.said
    assert sorted(tail.rows()) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("events:0:99999999", "Kafka holds the offsets"),
        ("events:77:earliest", "has the partitions 0 to"),
        ("nova.public.posts:0:0", "does not read"),
        ("events:0", "is not TOPIC:PARTITION:OFFSET"),
        ("events:0:-1", "is not TOPIC:PARTITION:OFFSET"),
    ],
)
def test_what_cannot_be_followed_is_said(spec: str, said: str) -> None:
    with pytest.raises(Permanent, match=said):
        rewind.plan("events", [topics.EVENTS], [spec])


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_a_half_inserted_batch_is_finished_first() -> None:
    """--from-offset is refused while Kafka still holds a pending batch; it is shown when Kafka does not."""
    group, topic_id = f"tests-{uuid4()}", kafka.topic_ids(topics.EVENTS)[topics.EVENTS]
    part, _ = ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=10**9)
    ledger.before(part, hi=10**8, kept=np.arange(3), token="t")
    [move] = rewind.plan(group, [topics.EVENTS], ["events:0:latest"])
    assert move.pending == (0, 10**8)
    rewind.carry_out(group, [move])
    with pytest.raises(Fenced):
        ledger.after(part, hi=10**8)
    with pytest.raises(Permanent, match="moved by another process"):
        rewind.carry_out(group, [move])
    again, pending = ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=10**9)
    assert (again.next_offset, pending) == (move.to, None)

    send_to(0, Crowd(), 5)
    ledger.before(again, hi=move.to + 2, kept=np.arange(3) + move.to, token="t")
    with pytest.raises(Permanent, match="finishes that batch first"):
        rewind.plan(group, [topics.EVENTS], ["events:0:latest"])


def run_from(tail: Tail, spec: str, partition: int) -> str:
    """Start a consumer with --from-offset, wait until it is through, stop it; what it said."""
    epochs = {number: epoch for number, *_, epoch in tail.rows()}
    process = started("run_events_consumer", "--from-offset", spec, "--yes")
    try:
        wait_until(
            lambda: {number: epoch for number, *_, epoch in tail.rows()}[partition] >= epochs[partition] + 2,
            "the moved partition assigned",
            60,
        )
        tail.wait()
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def test_reading_again_from_the_beginning_doubles_nothing(crowd: Crowd, tail: Tail, apps: Apps, stopped) -> None:
    """--from-offset earliest: everything is looked up, also under the claims of the first reading."""
    start = end_of(tail, 2)
    apps.restart("events")
    send_to(2, crowd, 400)
    tail.wait()
    apps.process("events").stop()
    send_to(2, crowd, 100)
    said = run_from(tail, f"events:2:{start}", 2)
    assert "400" in said
    crowd.assert_exact()


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_a_rewind_that_believes_its_own_claims_doubles(crowd: Crowd) -> None:
    """Negative control: what is behind the ledger's offset must be looked up, or it is stored again."""
    client = redis.durable(10.0)
    client.hset(dedup.SENTINEL, mapping={"run": client.info("server")["run_id"], "since": 1})
    events = crowd.events(50, event_time=clock.now())
    ids = {event.event_id for event in events}
    topic_id, sink, batch = uuid4().hex, EventsSink(), messages(lines(events))
    for doubled in (set(), ids):
        part, _ = ledger.claim("events", topics.EVENTS, topic_id, 0, low=0, high=10**9)
        if doubled:
            part.notes["stored_up_to"] = -1
        sink.flush(part, batch)
        assert oracle.doubled(ids) == doubled
        Offset.objects.filter(pk=part.row).update(next_offset=0)
    client.delete(dedup.SENTINEL)


def test_changes_are_read_again(world: World, apps: Apps) -> None:
    """--from-offset for the changes: repeats are the same versions, and the consumer goes on behind them."""
    post = world.post(world.member(), "the only text")
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{post}'"), "the post")
    apps.process("cdc").stop()
    process = started("run_cdc_consumer", "--from-offset", f"{topics.of_table('posts')}:*:earliest", "--yes")
    try:
        later = world.post(world.member())
        wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{later}'"), "the post after it", 60)
        wait_until(lambda: world.count(f"posts_cdc WHERE id = '{post}'"), "the post, perhaps twice before a merge")
        assert world.count(f"posts_cdc FINAL WHERE id = '{post}' AND text = 'the only text'") == 1
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
        apps.restart("cdc")
    assert process.returncode == 0, said
    assert "partitions set" in said


def test_retention_has_passed_the_offset(crowd: Crowd, tail: Tail, stopped) -> None:
    """Case 24: exit code 3 and what is lost, instead of a silent jump; --from-offset accepts the loss."""
    at = end_of(tail, 3)
    send_to(3, crowd, 30, acknowledged=False)
    gone = end_of(tail, 3)
    for future in kafka.admin().delete_records([TopicPartition(topics.EVENTS, 3, gone)]).values():
        future.result(20)
    send_to(3, crowd, 30)
    code, said = consume()
    assert code == EXIT_DATA_LOSS, said
    assert f"offsets {at} to {gone - 1} were never stored" in said
    assert "--from-offset events:3:earliest" in said
    assert oracle.lost(crowd.sent) == crowd.sent

    said = run_from(tail, "events:3:earliest", 3)
    assert "30 offsets will NEVER be stored" in said
    crowd.assert_exact()


# Members


def test_a_second_member_of_the_same_name_ends_loudly(apps: Apps) -> None:
    """Case 31: we use no static membership, so ids are unique. Where somebody configures one, the first of two ends
    with exit code 5."""
    name, group = f"same-{uuid4()}", f"tests-{uuid4()}"
    members = [kafka.consumer(group, **{"group.instance.id": name, "auto.offset.reset": "latest"}) for _ in range(2)]
    runtime = Runtime(EventsSink())
    halts: list[Halt] = []

    def poll(member: Consumer) -> None:
        for message in member.consume(10, 0.2):
            if message.error():
                try:
                    runtime._weigh(message.error())
                except Halt as halt:
                    halts.append(halt)

    try:
        for member in members:
            member.subscribe([topics.DLQ_CDC])
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                poll(members[0])
                if member is members[1]:
                    poll(member)
        wait_until(lambda: poll(members[0]) or poll(members[1]) or halts, "one of them put out", 30)
    finally:
        for member in members:
            member.close()
    assert halts[0].exit_code == EXIT_FENCED
    assert "put out of the group for good" in str(halts[0])


def members_of(group: str) -> set[str]:
    found = kafka.admin().describe_consumer_groups([group])[group].result()
    return {member.member_id for member in found.members}


def test_polling_goes_on_while_clickhouse_hangs(crowd: Crowd, tail: Tail, apps: Apps, prepared) -> None:
    """Case 25: ClickHouse answers nothing for longer than the group's session; the member stays, nothing is lost."""
    tail.wait()
    before = members_of("events")
    consumer, clickhouse = apps.process("events"), prepared.engine("clickhouse")
    clickhouse.freeze()
    try:
        for _ in range(12):
            crowd.send(crowd.events(100))
            time.sleep(1)
            assert http_ok(consumer.health)
        assert members_of("events") == before
        assert rewind.members("events") == 1
    finally:
        clickhouse.thaw()
    tail.wait()
    assert members_of("events") == before
    crowd.assert_exact()


def test_a_consumer_that_slept_through_its_removal(crowd: Crowd, tail: Tail, apps: Apps, prepared) -> None:
    """Case 10: frozen beyond its session while another one takes over; awake again, it writes nothing twice."""
    sleeper = apps.process("events")
    crowd.send(crowd.events(500))
    sleeper.freeze()
    crowd.send(crowd.events(500))
    other = started("run_events_consumer")
    try:
        tail.wait(60)
        sleeper.thaw()
        crowd.send(crowd.events(500))
        tail.wait()
        crowd.assert_exact()
    finally:
        sleeper.thaw()
        other.terminate()
        other.communicate(timeout=60)
    assert other.returncode == 0
    apps.restart("events")


# Engines killed


def test_without_the_broker_there_is_no_202(crowd: Crowd, tail: Tail, api: Api, world: World, prepared) -> None:
    """Case 32: Kafka is killed: 503. Accepted again, the same events count once."""
    member = world.member()
    post = world.post(world.member())
    body: dict[str, Any] = {"events": [event(member, post, "view") for _ in range(5)]}
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


# The topic


def test_the_topic_is_made_again_while_it_is_read(crowd: Crowd, tail: Tail, apps: Apps, world: World) -> None:
    """Case 8: the consumer notices and ends with exit code 3; its next start reads the new topic from its start."""
    crowd.send(crowd.events(300))
    tail.wait()
    consumer = apps.process("events")
    kafka.admin().delete_topics([topics.EVENTS])[topics.EVENTS].result(20)
    wait_until(lambda: topics.EVENTS not in kafka.admin().list_topics(timeout=5).topics, "the topic deleted", 30)
    assert manage("migrate_topics").code == 0
    wait_until(lambda: not consumer.alive, "the end of the consumer", 40)
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
