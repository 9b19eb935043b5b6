"""The jobs that make feeds quick: trending and the warmer, on the real engines."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import OperationalError

from community import selectors
from nova import clock, redis
from nova.errors import Permanent
from ranking import breaker, pipeline, snapshot, trending, warming
from ranking.breaker import State
from tests.feeds import Feeds, invalidate, member
from tests.jobs import come, run_job, state

pytest_plugins = ["tests.jobs_fixtures", "tests.ranking_fixtures"]
pytestmark = pytest.mark.usefixtures("nobody_warmed")


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


def test_the_warmer_bought_nothing_for_who_comes_when_its_feed_is_long_gone(feeds: Feeds, settings) -> None:
    """As after a night. What was made for those who do not come back is forgotten, too."""
    back, away = member(), member()
    come(feeds, back)
    come(feeds, away)
    run_job("warmer")
    assert redis.cache().zcard(warming.MADE) == 2
    redis.cache().delete(snapshot.pointer(str(back), "ch"))
    night = timedelta(seconds=2 * settings.SNAPSHOT_HARD_SECONDS)
    feeds.now = clock.now() + night
    come(feeds, back)
    last_pass = feeds.now - timedelta(minutes=1)
    report = warming.warm(feeds.now + timedelta(seconds=1), seconds=1, since=last_pass, dry_run=True)
    assert (report.bought, report.hits, report.misses) == (0, 0, 1)
    settings.WARM_MEMBERS = 1
    warming.warm(feeds.now + timedelta(seconds=1), seconds=1, since=last_pass)
    assert redis.cache().zrange(warming.MADE, 0, -1) == [str(back).encode()]


def test_one_member_that_cannot_be_ranked_ends_no_pass(feeds: Feeds, monkeypatch) -> None:
    one, two = member(), member()
    come(feeds, one, times=2)
    come(feeds, two)
    build, made = warming.building.build, []

    def fails(viewer: str, algorithm: str, now: Any) -> Any:
        if viewer == str(one):
            raise Permanent("too large a list")
        made.append(viewer)
        return build(viewer, algorithm, now)

    monkeypatch.setattr(warming.building, "build", fails)
    report = warming.warm(clock.now(), seconds=2, since=clock.now())
    assert (made, report.failed > 0) == ([str(two)], True)


def test_a_time_in_what_is_trending_is_written_as_in_a_feed(feeds: Feeds, make_member) -> None:
    viewer, author = make_member(), make_member()
    feeds.follow(viewer, author)
    post = feeds.post(author)
    feeds.store(post)
    feeds.make_trend(post, people=5)
    in_feed = pipeline.page(viewer, limit=5).posts[0]["created_at"]
    pipeline.refresh_trending("24h", feeds.now)
    assert pipeline.trending(viewer, "24h", 5).posts[0]["created_at"] == in_feed
