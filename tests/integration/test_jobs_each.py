"""Each job as `manage.py run_job` runs it, on the real engines."""

import logging
import os
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from django.apps import apps
from django.core.management import CommandError, call_command
from django_celery_results.models import TaskResult
from prometheus_client import generate_latest

from community.models import Follow
from ingestion import topics_admin
from ingestion.models import DeadLetter, Offset, Replay
from jobs import drift, lock, runner
from jobs.models import JobRun, JobState, Outcome
from jobs.registry import BY_NAME, JOBS
from jobs.runner import Ticket
from nova import clickhouse, clock, kafka, metrics, redis, topics
from ranking import trending
from tests.feeds import Feeds, member
from tests.jobs import come, letter, run_job, state

pytest_plugins = ["tests.jobs_fixtures", "tests.ranking_fixtures"]
pytestmark = pytest.mark.usefixtures("nobody_warmed")


# All of them ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_NAME)
def test_an_empty_community_is_no_error(feeds: Feeds, name: str) -> None:
    said = run_job(name)
    assert said.startswith(f"{name}: ")
    assert state(name).outcome == Outcome.DONE


@pytest.mark.parametrize("name", BY_NAME)
def test_a_dry_run_says_so_and_counts_as_no_run(feeds: Feeds, name: str) -> None:
    assert "dry run" in run_job(name, "--dry-run")
    assert state(name).runs_done == 0


NOTED = {JobRun, JobState}
OURS = ("community", "ingestion", "ranking", "jobs", "django_celery_results")
# What jobs keep in Redis. Processes of other tests may write other keys meanwhile.
KEPT = ("hot:*", "suggest:*", "warm:*", "feed:*", "gen:*", "gone:*", "breaker:*")


def everything() -> dict[str, Any]:
    """The rows of PostgreSQL but the notes of the runs, the number of ClickHouse's, what Redis keeps as bytes."""
    # A plugin of pytest's: it is loaded by now.
    from tests.ranking_fixtures import TABLES

    found: dict[str, Any] = {}
    for name in OURS:
        for model in apps.get_app_config(name).get_models():
            if model not in NOTED:
                found[model.__name__] = sorted(map(repr, model.objects.values_list()))
    for table in TABLES:
        found[table] = clickhouse.query(f"SELECT count() FROM {table}")[0][0]
    for store in (redis.cache(), redis.durable()):
        found |= {key: store.dump(key) for like in KEPT for key in store.scan_iter(like)}
    return found


@pytest.fixture
def seeded(feeds: Feeds, make_member, topic: str) -> None:
    """Something to do for each job, and nothing in Redis that would end by itself meanwhile."""
    for store in (redis.cache(), redis.durable()):
        for like in KEPT:
            for key in list(store.scan_iter(like)):
                store.delete(key)
    now = clock.now()
    viewer, friend, other = (make_member() for _ in range(3))
    for follower, followee in ((viewer, friend), (friend, other)):
        Follow.objects.create(follower_id=follower, followee_id=followee)
        feeds.follow(follower, followee)
    post = feeds.post(other)
    feeds.store(post)
    feeds.make_trend(post)
    come(feeds, viewer)
    letter(topic)
    result = TaskResult.objects.create(task_id=str(uuid4()))
    TaskResult.objects.filter(pk=result.pk).update(date_done=now - timedelta(days=20))


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.usefixtures("seeded", "impatient")
def test_a_dry_run_writes_nothing(feeds: Feeds, name: str) -> None:
    before = everything()
    assert "dry run" in run_job(name, "--dry-run")
    assert everything() == before


@pytest.mark.usefixtures("seeded", "impatient")
def test_what_a_dry_run_leaves_undone_a_run_does(feeds: Feeds) -> None:
    """The control: where there is nothing to write, nothing written would be no proof."""
    idle = set()
    for name in BY_NAME:
        before = everything()
        run_job(name)
        if everything() == before:
            idle.add(name)
    # These two only look.
    assert idle == {"watch", "drift"}


def test_the_list_names_every_job_and_its_schedule(feeds: Feeds) -> None:
    run_job("watch")
    said = StringIO()
    call_command("run_job", "--list", stdout=said)
    for job in JOBS:
        assert job.name in said.getvalue()
    assert "every" in said.getvalue()


def test_a_job_that_goes_on_is_refused_with_exit_code_3(feeds: Feeds) -> None:
    with lock.held("watch") as ours:
        assert ours
        with pytest.raises(CommandError, match="going on") as refused:
            run_job("watch")
    assert refused.value.returncode == 3


def test_what_the_jobs_did_is_in_metrics(feeds: Feeds) -> None:
    feeds.make_trend(feeds.post(member()))
    run_job("trending_24h")
    said = generate_latest(metrics.SHARED).decode()
    assert 'nova_job_runs_total{job="trending_24h",outcome="done"} 1.0' in said
    assert 'nova_job_last_items{job="trending_24h"} 1.0' in said
    assert f'nova_job_last_seconds{{job="trending_24h"}} {state("trending_24h").seconds}' in said
    assert 'nova_job_last_done_timestamp_seconds{job="trending_24h"}' in said


# Watch and retention -------------------------------------------------------------------------------------------------


def test_the_watch_misses_the_slot(feeds: Feeds, settings) -> None:
    settings.CDC_SLOT = "nova_no_such_slot"
    assert "setup_cdc" in run_job("watch")
    assert 'nova_cdc_slot_lost{slot="nova_no_such_slot"} 1.0' in generate_latest(metrics.SHARED).decode()


def test_the_watch_reads_a_slot_and_the_lag(feeds: Feeds, settings) -> None:
    settings.CDC_SLOT = f"test_{uuid4().hex[:8]}"
    settings.WATCH_LAG = 1000
    topics_admin.create()
    # A partition whose end Kafka cannot tell; and a topic that is no more, of which nothing is left to read.
    for topic, topic_id in ((topics.EVENTS, kafka.topic_ids(topics.EVENTS)[topics.EVENTS]), (f"gone-{uuid4()}", "x")):
        Offset.objects.create(
            consumer="test", topic=topic, topic_id=topic_id, partition=999, next_offset=10, high_watermark=5000
        )
    # A slot cannot be made in a transaction that has written, as a test's has.
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
        own.execute("SELECT pg_create_physical_replication_slot(%s, true)", [settings.CDC_SLOT])
        try:
            said = run_job("watch")
        finally:
            own.execute("SELECT pg_drop_replication_slot(%s)", [settings.CDC_SLOT])
    assert "nothing reads the replication slot" in said
    assert "test is 4,990 messages behind" in said
    metrics_said = generate_latest(metrics.SHARED).decode()
    assert f'nova_cdc_slot_active{{slot="{settings.CDC_SLOT}"}} 0.0' in metrics_said
    assert 'nova_ledger_lag{consumer="test"} 4990.0' in metrics_said


def test_who_is_behind_is_so_still_while_kafka_does_not_answer(feeds: Feeds, settings, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO, "jobs.watch")
    settings.WATCH_LAG = 5
    topic = f"lag-{uuid4()}"
    kafka.admin().create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    kafka.send(topic, [(None, b"a message", None)] * 7, timeout=20)
    where = {"topic": topic, "topic_id": kafka.topic_ids(topic)[topic], "partition": 0}
    # It has read none of them, and wrote its last word of where they end when there was none.
    Offset.objects.create(consumer="test", **where, next_offset=0, high_watermark=0)
    assert "test is 7 messages behind" in run_job("watch")
    with monkeypatch.context() as away:
        nobody = AdminClient({"bootstrap.servers": "127.0.0.1:1"})
        away.setattr(kafka, "admin", lambda: nobody)
        said = run_job("watch")
    assert "Kafka does not answer" in said
    assert "test behind, when Kafka last answered" in said
    assert "well again: test behind" not in caplog.text
    kafka.admin().delete_topics([topic])[topic].result(20)


@pytest.fixture
def impatient(monkeypatch, settings) -> None:
    """Nothing streams here, so what differs needs no second look."""
    monkeypatch.setattr(drift, "PATIENCE", 0.0)
    settings.DRIFT_PARTS = 2


@pytest.mark.usefixtures("impatient")
def test_the_drift_check_goes_round_and_tells_what_differs(feeds: Feeds, make_member) -> None:
    follower, followee = make_member(), make_member()
    # In PostgreSQL only: nothing streams from the database of these tests.
    Follow.objects.create(follower_id=follower, followee_id=followee)
    said = run_job("drift")
    assert "part 1 of 2" in said
    assert "1 in follows_cdc. Run manage.py verify_sync --repair" in said
    assert 'nova_drift_rows{copy="follows_cdc"} 1.0' in generate_latest(metrics.SHARED).decode()
    said = run_job("drift")
    assert "part 2 of 2" in said
    assert "all the same" in said
    assert "part 1 of 2" in run_job("drift")


def run_drift(bound: int) -> JobState:
    """A run that has so many seconds; where the job stands then."""
    runner.run(replace(BY_NAME["drift"], bound=bound), Ticket(number=str(uuid4())))
    return state("drift")


@pytest.mark.usefixtures("impatient")
def test_a_drift_check_that_never_has_enough_time_goes_on_all_the_same(feeds: Feeds) -> None:
    """Each run is over at once: it leaves the table it began with, cuts finer, and the next begins behind it."""
    places = []
    for _ in range(5):
        now = run_drift(bound=0)
        assert (now.outcome, "not finished" in now.summary) == (Outcome.DONE, True)
        places.append((now.memory["part"], len(now.memory["tables"]), now.memory["finer"]))
    assert places == [(0, 1, 2), (0, 2, 4), (0, 3, 8), (0, 4, 16), (1, 0, 32)]
    now = run_drift(bound=600)
    assert now.summary.startswith("part 2 of 64")
    assert now.memory["part"] == 2


@pytest.mark.usefixtures("impatient")
def test_after_a_whole_round_the_drift_check_tries_larger_parts_again(feeds: Feeds, settings) -> None:
    settings.DRIFT_PARTS = 2
    place = drift.Place(2, (), 2)
    for part, finer in ((3, 2), (4, 1), (1, 1), (2, 1)):
        place = drift.compare(place, left=lambda: 100, progress=lambda rows: None).place
        assert (place.part, place.finer) == (part, finer)


@pytest.mark.usefixtures("impatient")
def test_a_drift_check_goes_on_with_the_table_that_was_interrupted(feeds: Feeds, make_member, monkeypatch) -> None:
    follower, followee = make_member(), make_member()
    Follow.objects.create(follower_id=follower, followee_id=followee)
    report = drift.compare(drift.Place(), left=iter([100, 100, 100, 0, 0]).__next__, progress=lambda rows: None)
    # Posts have two copies of one range each, then the clock is looked at before the follows.
    assert (report.place, report.ranges) == (drift.Place(0, ("posts",), 1), 2)
    assert report.unfinished == "the next run goes on with follows"
    assert not report.drifts
    rest = drift.compare(report.place, left=lambda: 100, progress=lambda rows: None)
    assert (rest.part, rest.place, rest.unfinished) == (1, drift.Place(1, (), 1), "")
    assert [one.copy.target for one in rest.drifts] == ["follows_cdc"]
    assert "posts_cdc" not in rest.targets


def test_retention_deletes_what_is_old(feeds: Feeds) -> None:
    now = clock.now()
    for days in (1, 20):
        JobRun.objects.create(
            job="x", ticket=str(uuid4()), scheduled=True, started_at=now - timedelta(days=days), outcome=Outcome.DONE
        )
        result = TaskResult.objects.create(task_id=str(uuid4()))
        TaskResult.objects.filter(pk=result.pk).update(date_done=now - timedelta(days=days))
    for days in (80, 100):
        entry = Replay.objects.create(letter=letter("none", reason="schema"), outcome=Replay.Outcome.SENT)
        Replay.objects.filter(pk=entry.pk).update(at=now - timedelta(days=days))
    assert "to delete: 1 runs of jobs, 1 task results, 1 replays" in run_job("retention", "--dry-run")
    assert "deleted: 1 runs of jobs, 1 task results, 1 replays" in run_job("retention")
    assert Replay.objects.count() == TaskResult.objects.count() == 1
    assert DeadLetter.objects.count() == 2


def test_the_trending_windows_are_those_of_ranking() -> None:
    assert {f"trending_{window}": seconds for window, seconds in trending.PERIODS.items()} == {
        job.name: job.period for job in JOBS if job.name.startswith("trending_")
    }
