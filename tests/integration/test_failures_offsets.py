"""Offsets moved by hand, deleted by retention, or without a message: nothing is lost or doubled without a word."""

from uuid import uuid4

import numpy as np
import pytest
from confluent_kafka import TopicPartition

from ingestion import dedup, ledger, rewind
from ingestion.errors import EXIT_DATA_LOSS, EXIT_SETTINGS, Fenced
from ingestion.events import EventsSink
from ingestion.models import Offset
from nova import clock, kafka, redis, topics
from nova.errors import Permanent
from tests.apps import Apps
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.batches import lines, messages
from tests.integration.commands import manage, started
from tests.integration.ingest import Crowd, Tail
from tests.world import World


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
    crowd.send_to(1, 10)
    tail.wait()
    crowd.assert_exact()
    assert len(oracle.lost({one.event_id for one in aborted})) == 50


def test_a_running_group_is_not_moved(tail: Tail) -> None:
    """--from-offset is refused while a process of the group runs."""
    before = sorted(tail.rows())
    ran = manage("run_events_consumer", "--from-offset", "events:*:earliest", "--yes")
    assert (ran.code, "Stop them first" in ran.said) == (EXIT_SETTINGS, True), ran.said
    assert sorted(tail.rows()) == before


def test_who_was_killed_is_waited_for(crowd: Crowd, tail: Tail, apps: Apps, stopped) -> None:
    """Kafka counts a process to the group for as long as its session lasts."""
    apps.restart("events")
    crowd.send_to(2, 50)
    tail.wait()
    apps.process("events").kill()
    assert kafka.members("events") == 1
    assert "Waiting for 1 processes" in run_from(tail, "events:2:latest", 2)
    crowd.assert_exact()


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

    Crowd().send_to(0, 5)
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
    start = tail.ends()[2]
    apps.restart("events")
    crowd.send_to(2, 400)
    tail.wait()
    apps.process("events").stop()
    crowd.send_to(2, 100)
    said = run_from(tail, f"events:2:{start}", 2)
    assert "400" in said
    crowd.assert_exact()


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_a_rewind_that_believes_its_own_claims_doubles(crowd: Crowd, settings) -> None:
    """Negative control: what is behind the ledger's offset must be looked up, or it is stored again."""
    client = redis.durable(10.0)
    run, life = client.info("server")["run_id"], settings.DEDUP_TTL_SECONDS
    client.hset(dedup.SENTINEL, mapping={"run": run, "since": 1, "life": life})
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
    at = tail.ends()[3]
    Crowd().send_to(3, 30)
    gone = tail.ends()[3]
    for future in kafka.admin().delete_records([TopicPartition(topics.EVENTS, 3, gone)]).values():
        future.result(20)
    crowd.send_to(3, 30)
    ran = manage("run_events_consumer")
    assert ran.code == EXIT_DATA_LOSS, ran.said
    assert f"offsets {at} to {gone - 1} were never stored" in ran.said
    assert "--from-offset events:3:earliest" in ran.said
    assert oracle.lost(crowd.sent) == crowd.sent

    said = run_from(tail, "events:3:earliest", 3)
    assert "30 offsets will NEVER be stored" in said
    crowd.assert_exact()
