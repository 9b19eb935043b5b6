"""Each job as `manage.py run_job` runs it, on the real engines."""

import os
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django_celery_results.models import TaskResult
from prometheus_client import generate_latest

from community import selectors
from community.models import Follow
from ingestion.models import DeadLetter, Offset, Replay
from jobs import drift, lock, runner, sweep
from jobs.models import JobRun, JobState, Outcome
from jobs.registry import BY_NAME, JOBS
from jobs.runner import Ticket
from nova import clickhouse, clock, kafka, metrics, redis
from ranking import breaker, pipeline, trending, warming
from ranking.breaker import State
from tests.feeds import Feeds, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.fixture(autouse=True)
def _nobody_warmed(feeds: Feeds, settings) -> None:
    redis.cache().delete(warming.MADE)
    settings.WARM_SECONDS = 1


def run_job(name: str, *options: str) -> str:
    said = StringIO()
    call_command("run_job", name, *options, stdout=said)
    return said.getvalue()


def state(name: str) -> JobState:
    return JobState.objects.get(name=name)


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


# Trending ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["1h", "24h", "7d"])
def test_trending_is_kept_as_json(feeds: Feeds, window: str) -> None:
    post = feeds.post(member())
    feeds.make_trend(post, people=4)
    run_job(f"trending_{window}")
    kept = orjson.loads(redis.cache().get(f"hot:posts:{window}"))
    ((found, score, people),) = kept["posts"]
    assert (found, people) == (str(post), 4)
    assert score > 0


def test_one_fan_makes_no_trend_and_no_trend_is_an_empty_list(feeds: Feeds) -> None:
    post, fan = feeds.post(member()), member()
    feeds.act(fan, post, "share", times=100)
    run_job("trending_1h")
    assert orjson.loads(redis.cache().get("hot:posts:1h"))["posts"] == []


def hottest(feeds: Feeds) -> list[UUID]:
    return [UUID(one.id) for one in trending.find("1h", feeds.now, timeout=30).posts]


def test_one_fan_weighs_as_much_as_they_send_once_two_others_react(feeds: Feeds) -> None:
    """A known limit (docs/architecture/ranking.md), and that the floor is what stands before it."""
    pushed, liked = feeds.post(member()), feeds.post(member())
    feeds.make_trend(liked, people=20)
    feeds.act(member(), pushed, "share", times=10)
    feeds.make_trend(pushed, people=1)
    assert hottest(feeds) == [liked]
    feeds.make_trend(pushed, people=1)
    assert hottest(feeds) == [pushed, liked]


def test_the_hour_in_which_a_window_begins_counts_in_full(feeds: Feeds) -> None:
    post, older = feeds.post(member()), feeds.post(member())
    into = feeds.now.minute / 60 + feeds.now.second / 3600
    feeds.make_trend(post, hours_ago=into + 0.99)
    feeds.make_trend(older, hours_ago=into + 1.01)
    assert hottest(feeds) == [post]


def test_the_api_serves_what_the_job_kept(feeds: Feeds, make_member) -> None:
    first, second = feeds.posts(make_member(), hours_ago=[1, 2])
    feeds.store(first, second)
    feeds.make_trend(first)
    run_job("trending_24h")
    feeds.make_trend(second)
    assert [post["id"] for post in pipeline.trending(member(), "24h", 10, feeds.now).posts] == [str(first)]
    run_job("trending_24h")
    assert len(pipeline.trending(member(), "24h", 10, feeds.now).posts) == 2


def test_a_kept_list_outlives_clickhouse(feeds: Feeds, make_member) -> None:
    post = feeds.post(make_member())
    feeds.store(post)
    feeds.make_trend(post)
    run_job("trending_24h")
    breaker.clickhouse.force(State.OPEN, by="test", reason="a test")
    assert [found["id"] for found in pipeline.trending(member(), "24h", 10, feeds.now).posts] == [str(post)]


def test_without_postgresql_clickhouse_says_what_may_be_shown(feeds: Feeds, make_member, monkeypatch) -> None:
    hidden, shown = feeds.post(make_member()), feeds.post(make_member())
    viewer = member()
    for post in (hidden, shown):
        feeds.make_trend(post)
    run_job("trending_24h")
    feeds.hide(viewer, feeds.rows[hidden]["author_id"], "mute")

    def away(user_id: UUID) -> None:
        raise OperationalError("PostgreSQL is away")

    monkeypatch.setattr(selectors, "hidden_authors", away)
    assert [found["id"] for found in pipeline.trending(viewer, "24h", 10, feeds.now).posts] == [str(shown)]


# The warmer ----------------------------------------------------------------------------------------------------------


def come(feeds: Feeds, *viewers: UUID, times: int = 1) -> None:
    """Each of them looks at a post, so that they are active."""
    post = feeds.post(member())
    for viewer in viewers:
        feeds.act(viewer, post, "view", times=times)


def page(feeds: Feeds, viewer: UUID) -> Any:
    return pipeline.page(viewer, limit=10)


def test_the_warmer_makes_what_is_cold_and_leaves_what_is_ready(feeds: Feeds) -> None:
    warm, cold = member(), member()
    come(feeds, warm, cold)
    made = page(feeds, warm).snapshot
    run_job("warmer")
    assert state("warmer").items == 1
    assert page(feeds, warm).snapshot == made
    assert page(feeds, cold).cache_hit
    run_job("warmer")
    assert state("warmer").items == 0


def test_the_warmer_makes_what_was_invalidated_or_is_about_to_expire(feeds: Feeds) -> None:
    changed, old = member(), member()
    come(feeds, changed, old)
    for viewer in (changed, old):
        page(feeds, viewer)
    invalidate(changed)
    redis.cache().expire(f"feed:v1:{old}", 50)
    run_job("warmer")
    assert state("warmer").items == 2


def test_the_warmer_makes_what_was_ranked_by_other_weights(feeds: Feeds, settings) -> None:
    viewer = member()
    come(feeds, viewer)
    page(feeds, viewer)
    settings.RANKING_WEIGHTS = {"freshness": 0.5, "engagement": 0.25, "affinity": 0.25}
    settings.RANKING_VERSION = "another"
    run_job("warmer")
    assert state("warmer").items == 1
    assert page(feeds, viewer).cache_hit


def test_what_becomes_cold_during_a_pass_is_made_in_it(feeds: Feeds, monkeypatch) -> None:
    monkeypatch.setattr(warming, "_LOOK_EVERY_SECONDS", 0.2)
    cold, warm = member(), member()
    come(feeds, cold, warm)
    page(feeds, warm)
    made = []

    def progress(done: int, of: int | None) -> None:
        made.append(done)
        if done < 3:
            # The next look finds both; who has had no turn yet comes first.
            invalidate(cold)
            invalidate(warm)
        else:
            breaker.clickhouse.force(State.OPEN, by="test", reason="ends the pass")

    report = warming.warm(clock.now(), seconds=120, since=feeds.now, progress=progress)
    assert made == [1, 2, 3]
    assert (report.active, report.ready, report.due, report.made, report.stopped) == (2, 1, 2, 3, "the breaker opened")


def test_only_the_most_active_are_warmed(feeds: Feeds, settings) -> None:
    settings.WARM_MEMBERS = 1
    often, seldom = member(), member()
    come(feeds, often, times=5)
    come(feeds, seldom)
    run_job("warmer")
    assert page(feeds, often).cache_hit
    assert not page(feeds, seldom).cache_hit


def test_the_warmer_leaves_clickhouse_alone_while_the_breaker_is_open(feeds: Feeds) -> None:
    come(feeds, member())
    breaker.clickhouse.force(State.OPEN, by="test", reason="a test")
    said = run_job("warmer")
    assert "breaker is open" in said
    assert state("warmer").items == 0


def test_the_warmer_tells_the_hits_it_buys(feeds: Feeds) -> None:
    bought, unlucky = member(), member()
    come(feeds, bought)
    run_job("warmer")
    now = feeds.now
    feeds.now = clock.now() + timedelta(seconds=1)
    come(feeds, bought, unlucky)
    report = warming.warm(feeds.now + timedelta(seconds=1), seconds=1, since=now, dry_run=True)
    assert (report.bought, report.hits, report.misses) == (1, 0, 1)
    assert report.ready_share == 0.5


# Dead letters --------------------------------------------------------------------------------------------------------


@pytest.fixture
def topic(feeds: Feeds) -> str:
    """A topic of its own to replay to."""
    name = f"test-{uuid4().hex[:8]}"
    kafka.admin().create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


def letter(
    topic: str, *, reason: str = "in_future", minutes_ago: float = 5, before: DeadLetter | None = None
) -> DeadLetter:
    made = DeadLetter.objects.create(
        consumer="events",
        topic=topic,
        topic_id=uuid4().hex[:36],
        partition=0,
        offset=0,
        raw=b'{"a": 1}',
        headers=[["nova.replay-of", str(before.pk)]] if before else [],
        reason=reason,
    )
    DeadLetter.objects.filter(pk=made.pk).update(created_at=clock.now() - timedelta(minutes=minutes_ago))
    return made


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


# Watch and retention -------------------------------------------------------------------------------------------------


def test_the_watch_misses_the_slot(feeds: Feeds, settings) -> None:
    settings.CDC_SLOT = "nova_no_such_slot"
    assert "setup_cdc" in run_job("watch")
    assert 'nova_cdc_slot_lost{slot="nova_no_such_slot"} 1.0' in generate_latest(metrics.SHARED).decode()


def test_the_watch_reads_a_slot_and_the_lag(feeds: Feeds, settings) -> None:
    settings.CDC_SLOT = f"test_{uuid4().hex[:8]}"
    settings.WATCH_LAG = 1000
    Offset.objects.create(
        consumer="test", topic=f"gone-{uuid4().hex}", topic_id="x", partition=0, next_offset=10, high_watermark=5000
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
