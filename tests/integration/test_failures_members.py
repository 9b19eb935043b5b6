"""Consumers that come, go, freeze and hang: the group keeps its members, and each event is stored once."""

import signal
import threading
import time
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer

from embedded.ports import assign
from embedded.service import http_ok
from embedded.testing import Part
from ingestion import health, ledger, publishing
from ingestion.consumer import Runtime
from ingestion.errors import EXIT_CLEAN, EXIT_FENCED, Halt
from ingestion.events import EventsSink
from nova import kafka, topics
from nova.errors import Transient
from tests.apps import Apps, running_apps
from tests.client import Api, wait_until
from tests.integration.commands import changed, started
from tests.integration.ingest import Crowd, Tail
from tests.world import World


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


def test_polling_goes_on_while_clickhouse_hangs(crowd: Crowd, tail: Tail, apps: Apps, prepared) -> None:
    """Case 25: ClickHouse answers nothing for longer than the group's session; the member stays, nothing is lost."""
    tail.wait()
    before = kafka.member_ids("events")
    consumer, clickhouse = apps.process("events"), prepared.engine("clickhouse")
    clickhouse.freeze()
    try:
        for _ in range(12):
            crowd.send(crowd.events(100))
            time.sleep(1)
            assert http_ok(consumer.health)
        assert kafka.member_ids("events") == before
        assert kafka.members("events") == 1
    finally:
        clickhouse.thaw()
    tail.wait()
    assert kafka.member_ids("events") == before
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


def hang(clickhouse: Part, crowd: Crowd, tail: Tail, *, meanwhile: int) -> None:
    """ClickHouse hangs behind a consumer that has read all there was; `meanwhile` more events come."""
    crowd.send(crowd.events(100))
    tail.wait()
    clickhouse.freeze()
    crowd.send(crowd.events(meanwhile))


def test_a_partition_that_rested_when_it_was_lost_is_read_again(crowd: Crowd, tail: Tail, stopped, prepared) -> None:
    """The client paused it, as ClickHouse hung and enough was here; then the process slept beyond its session."""
    clickhouse = prepared.engine("clickhouse")
    consumer = started("run_events_consumer", BATCH_MESSAGES="10")
    try:
        hang(clickhouse, crowd, tail, meanwhile=400)
        # Nothing tells of the pause, which comes after a second with more waiting than four batches.
        time.sleep(4)
        consumer.send_signal(signal.SIGSTOP)
        wait_until(lambda: not kafka.members("events"), "the group without it", 30)
        clickhouse.thaw()
        consumer.send_signal(signal.SIGCONT)
        tail.wait(60)
        crowd.assert_exact()
    finally:
        clickhouse.thaw()
        consumer.send_signal(signal.SIGCONT)
        consumer.terminate()
        said, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0, said
    assert '"lost"' in said


def test_members_come_and_go_while_offsets_are_committed(
    crowd: Crowd, tail: Tail, apps: Apps, prepared, tmp_path
) -> None:
    """Case 27: processes join, leave and die while events flow, so that commits meet rebalances. Nobody ends up without
    partitions, and no partition without an owner."""
    over, failures = threading.Event(), []

    def produce() -> None:
        try:
            while not over.is_set():
                crowd.send(crowd.events(200))
                over.wait(0.1)
        except BaseException as error:
            failures.append(error)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for leaves in ("stop", "kill", "stop"):
            with running_apps(prepared.env, tmp_path, ("events",)) as others:
                wait_until(lambda: kafka.members("events") == 2, "a second member")
                moved = {number: offset for number, offset, *_ in tail.rows()}
                wait_until(
                    lambda moved=moved: all(offset > moved[number] for number, offset, *_ in tail.rows()),
                    "progress in every partition",
                )
                getattr(others.process("events"), leaves)()
    finally:
        over.set()
        producer.join()
    assert not failures
    assert apps.process("events").alive
    tail.wait()
    crowd.assert_exact()


def test_a_consumer_ends_in_time_while_clickhouse_hangs(crowd: Crowd, tail: Tail, stopped, prepared) -> None:
    """SIGTERM with a batch under way that does not end: DRAIN_SECONDS once, code 0, and the next start finishes it."""
    drain = 8
    consumer = started("run_events_consumer", DRAIN_SECONDS=str(drain))
    clickhouse = prepared.engine("clickhouse")
    try:
        hang(clickhouse, crowd, tail, meanwhile=100)
        # Nothing tells of a batch that waits for ClickHouse; one goes 0.3 s after its first message.
        time.sleep(3)
        asked = time.monotonic()
        consumer.terminate()
        said, _ = consumer.communicate(timeout=60)
        took = time.monotonic() - asked
    finally:
        consumer.kill()
        clickhouse.thaw()
    assert consumer.returncode == 0, said
    # Beyond the promise: leaving the group, and the end of the process.
    assert took < drain + 6, said
    assert "drain_incomplete" in said
    again = started("run_events_consumer")
    try:
        tail.wait()
        crowd.assert_exact()
    finally:
        again.terminate()
        again.communicate(timeout=60)


def test_a_postgresql_that_is_away_at_the_assignment_is_waited_for(crowd: Crowd, api: Api, stopped, prepared) -> None:
    """For longer than an assignment may keep the group waiting: the consumer leaves the group and comes again."""
    crowd.send(crowd.events(100))
    postgres = prepared.engine("postgres")
    postgres.kill()
    consumer = changed(["ingestion.assignment._ASSIGN_SECONDS=1.0"], "run_events_consumer")
    try:
        time.sleep(20)
        assert consumer.poll() is None, consumer.communicate()[0]
    finally:
        postgres.start()
    world = World(api, prepared.env["DATABASE_URL"])
    tail = Tail(world)
    try:
        tail.wait()
        crowd.assert_exact()
    finally:
        tail.close()
        world.close()
        consumer.terminate()
        said, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0, said
    assert "not_assigned" in said


def test_a_stop_while_postgresql_is_away_at_the_assignment_is_a_clean_end(prepared, monkeypatch) -> None:
    """The client hands the partitions over while it is being closed."""
    runtime = Runtime(EventsSink(f"tests-{uuid4()}"))

    class Leaving(Consumer):
        def subscribe(self, *arguments: Any, **called: Any) -> None:
            super().subscribe(*arguments, **called)
            time.sleep(3)
            runtime._ask_to_stop(signal.SIGTERM, None)

    def away(*_: Any, **__: Any) -> None:
        asked.append(1)
        raise Transient("PostgreSQL: away")

    asked: list[int] = []
    monkeypatch.setattr(kafka, "Consumer", Leaving)
    monkeypatch.setattr(ledger, "claim", away)
    monkeypatch.setattr(EventsSink, "prepare", lambda sink: None)
    monkeypatch.setattr(publishing, "start", lambda name: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    code = runtime.run()
    assert asked, "no partition came"
    assert code == EXIT_CLEAN


def test_a_start_that_waits_is_healthy(stopped, prepared, tmp_path) -> None:
    """/healthz is about polling; before it, waiting for an engine is what the consumer is for."""
    port = assign(["health"], tmp_path / "ports.json")["health"]
    clickhouse = prepared.engine("clickhouse")
    clickhouse.kill()
    consumer = changed(["ingestion.health.STALLED_SECONDS=3.0"], "run_events_consumer", HEALTH_PORT=str(port))
    try:
        wait_until(lambda: http_ok(f"http://127.0.0.1:{port}/healthz"), "the health port")
        for _ in range(16):
            time.sleep(0.5)
            assert http_ok(f"http://127.0.0.1:{port}/healthz")
    finally:
        clickhouse.start()
        consumer.terminate()
        said, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0, said


def test_a_claim_that_postgresql_does_not_answer_is_no_stall(
    crowd: Crowd, tail: Tail, stopped, prepared, tmp_path
) -> None:
    """Nobody polls while partitions are claimed: each wait ends before /healthz calls that a stall, and the claim is
    made again."""
    assert ledger.CLAIM_SECONDS < health.STALLED_SECONDS / 2
    port = assign(["health"], tmp_path / "ports.json")["health"]
    crowd.send(crowd.events(100))
    shorter = ["ingestion.health.STALLED_SECONDS=5.0", "ingestion.ledger.CLAIM_SECONDS=1.0"]
    with psycopg.connect(prepared.env["DATABASE_URL"]) as holder:
        # Who only reads does not wait for it, as whatever comes before the claims does.
        holder.execute("LOCK TABLE consumer_offsets IN EXCLUSIVE MODE")
        consumer = changed(shorter, "run_events_consumer", HEALTH_PORT=str(port))
        try:
            wait_until(lambda: _waits_for_a_lock(holder), "a claim that waits")
            for _ in range(16):
                time.sleep(0.5)
                assert http_ok(f"http://127.0.0.1:{port}/healthz")
        except BaseException:
            consumer.kill()
            raise
    try:
        tail.wait()
        crowd.assert_exact()
    finally:
        consumer.terminate()
        said, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0, said


def _waits_for_a_lock(asked: psycopg.Connection[Any]) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'consumer_offsets'::regclass"
    return asked.execute(waiting).fetchone() is not None
