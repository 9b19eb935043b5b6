"""The sweep of dead letters, on the real engines."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from confluent_kafka import TopicPartition

from ingestion.models import DeadLetter, Replay
from jobs import runner, sweep
from jobs.registry import BY_NAME
from jobs.runner import Ticket
from nova import clock, kafka
from tests.jobs import letter, run_job, state

pytest_plugins = ["tests.jobs_fixtures", "tests.ranking_fixtures"]


def read_all(topic: str) -> list[Any]:
    consumer = kafka.consumer(f"test-{uuid4().hex}")
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [message for message in consumer.consume(100, timeout=5) if message.error() is None]
    finally:
        consumer.close()


def test_the_sweep_replays_what_is_due_and_passes(topic: str) -> None:
    due = letter(topic)
    young = letter(topic, minutes_ago=0.5)
    hopeless = letter(topic, reason="not_json")
    said = run_job("dead_letters")
    assert "1 replayed, 1 not due yet, 0 left" in said
    (message,) = read_all(topic)
    assert (message.value(), dict(message.headers())) == (b'{"a": 1}', {"nova.replay-of": str(due.pk).encode()})
    states = dict(DeadLetter.objects.values_list("pk", "state"))
    assert states == {due.pk: "replayed", young.pk: "waiting", hopeless.pk: "waiting"}
    assert "0 replayed" in run_job("dead_letters")


def test_a_message_that_failed_again_waits_twice_as_long(topic: str) -> None:
    first = letter(topic, minutes_ago=60)
    DeadLetter.objects.filter(pk=first.pk).update(state="replayed")
    second = letter(topic, minutes_ago=1.5, before=first)
    assert "0 replayed, 1 not due yet" in run_job("dead_letters")
    DeadLetter.objects.filter(pk=second.pk).update(created_at=clock.now() - timedelta(minutes=2.1))
    assert "1 replayed" in run_job("dead_letters")


def test_after_eight_tries_a_message_is_left_to_staff(topic: str) -> None:
    last = letter(topic, minutes_ago=6000)
    for _ in range(sweep.MOST_TRIES):
        DeadLetter.objects.filter(pk=last.pk).update(state="replayed")
        last = letter(topic, minutes_ago=6000, before=last)
    assert "0 replayed, 0 not due yet, 1 left" in run_job("dead_letters")


def test_a_try_that_kafka_did_not_take_counts(topic: str) -> None:
    one = letter(topic, minutes_ago=60)
    failed = Replay.objects.create(letter=one, outcome=Replay.Outcome.FAILED, detail="no broker")
    Replay.objects.filter(pk=failed.pk).update(at=clock.now() - timedelta(minutes=1.5))
    assert "0 replayed, 1 not due yet" in run_job("dead_letters")


def give_up(topic: str, count: int) -> None:
    """Letters that Kafka did not take so often that they are left to staff; they stay waiting."""
    for _ in range(count):
        one = letter(topic, minutes_ago=6000)
        Replay.objects.bulk_create(Replay(letter=one, outcome=Replay.Outcome.FAILED) for _ in range(sweep.MOST_TRIES))


def test_letters_given_up_do_not_keep_new_ones_away_however_many_they_are(topic: str, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "_AT_ONCE", 2)
    give_up(topic, 5)
    letter(topic)
    assert "1 replayed, 0 not due yet, 5 left" in run_job("dead_letters")


def test_the_sweep_ends_at_its_bound_and_the_next_goes_on(topic: str, monkeypatch) -> None:
    """Behind letters given up for which alone there was time, and between two that are sent."""
    monkeypatch.setattr(sweep, "_AT_ONCE", 2)
    monkeypatch.setattr(sweep, "_SENT_AT_ONCE", 1)
    give_up(topic, 2)
    first, second = letter(topic), letter(topic)
    hurried = replace(BY_NAME["dead_letters"], bound=0)
    for after, sent in ((first.pk - 1, 0), (first.pk, 1), (second.pk, 2)):
        said = runner.run(hurried, Ticket(number=str(uuid4()))).summary
        assert "not finished" in said
        assert state("dead_letters").memory == {"after": after}
        assert DeadLetter.objects.filter(state="replayed").count() == sent
    assert "0 replayed, 0 not due yet, 0 left" in run_job("dead_letters")
    assert "0 replayed, 0 not due yet, 2 left" in run_job("dead_letters")
