"""The ladder, each step reached by stopping or freezing a real engine: an answer comes, and says which path made it."""

import threading
from uuid import UUID, uuid4

import pytest
from django.db import connection

from community.models import Follow, Post
from ingestion import effects
from nova import clock, generations, redis
from nova.errors import Transient
from nova.hidings import Hiding
from ranking import authors, breaker, building, cache, discover, pipeline, snapshot, suggestions
from ranking.breaker import State
from tests.feeds import Feeds, ids, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.fixture
def short(feeds: Feeds, settings) -> None:
    settings.CLICKHOUSE_DEADLINE = 2
    settings.BREAKER_FAILURES, settings.BREAKER_WINDOW_SECONDS, settings.BREAKER_OPEN_SECONDS = 3, 600, 600


@pytest.fixture
def community(feeds: Feeds, make_member) -> tuple[UUID, list[UUID]]:
    """A viewer and the posts of whom they follow, newest first; the same in PostgreSQL and in ClickHouse."""
    viewer, followee, stranger = (make_member() for _ in range(3))
    Follow.objects.create(follower_id=viewer, followee_id=followee)
    feeds.follow(viewer, followee)
    posts = feeds.posts(followee, hours_ago=[1, 2, 3])
    for number, post in enumerate(posts):
        row = Post.objects.create(id=post, author_id=followee, text=f"post {number}")
        Post.objects.filter(id=row.id).update(created_at=feeds.rows[post]["created_at"] + "Z")
    Post.objects.create(author_id=stranger, text="not for this viewer")
    return viewer, posts


@pytest.fixture
def clickhouse(stack):
    engine = stack.engine("clickhouse")
    yield engine
    if engine.pid is None:
        engine.start()
    engine.thaw()


@pytest.fixture
def redis_server(stack):
    engine = stack.engine("redis")
    yield engine
    if engine.pid is None:
        engine.start()
    engine.thaw()
    cache.reset()


@pytest.fixture
def postgres(stack):
    engine = stack.engine("postgres")
    yield engine
    if engine.pid is None:
        engine.start()
    connection.close()
    connection.close_pool()
    authors.forget()


def its_time_is_over() -> None:
    redis.durable().hset(breaker.clickhouse.key, "opened_at", 0)


@pytest.mark.usefixtures("short")
def test_without_clickhouse_the_feed_is_in_order_of_time_and_recovers(community, clickhouse) -> None:
    viewer, posts = community
    clickhouse.stop()
    for _ in range(3):
        page = pipeline.page(viewer, limit=10, explain=True)
        assert page.algorithm == "time"
        assert ids(page) == [str(post) for post in posts]
        assert all(post["sources"] == ["followees"] for post in page.posts)
    assert breaker.clickhouse.look().after is State.OPEN
    assert pipeline.page(viewer, limit=10).algorithm == "time"
    with pytest.raises(breaker.Refused):
        pipeline.trending(viewer, "24h", 10)

    clickhouse.start()
    assert pipeline.page(viewer, limit=10).algorithm == "time"
    its_time_is_over()
    page = pipeline.page(viewer, limit=10)
    assert page.algorithm == "ch"
    assert set(ids(page)) == {str(post) for post in posts}
    assert breaker.clickhouse.look().after is State.CLOSED


@pytest.mark.usefixtures("short")
def test_a_frozen_clickhouse_holds_nobody(community, clickhouse) -> None:
    viewer, posts = community
    clickhouse.freeze()
    page = pipeline.page(viewer, limit=10)
    assert page.algorithm == "time"
    assert ids(page) == [str(post) for post in posts]
    clickhouse.thaw()
    assert pipeline.page(viewer, limit=10).algorithm == "ch"


@pytest.mark.usefixtures("short")
def test_a_crowd_of_readers_is_no_failure_of_clickhouse(community, monkeypatch) -> None:
    """More feeds to be made than this process can ask for at once: the others are answered in order of time."""
    viewer, posts = community
    places = threading.BoundedSemaphore(2)
    monkeypatch.setattr(building, "_places", lambda: places)
    for _ in range(2):
        places.acquire()
    page = pipeline.page(viewer, limit=10)
    assert (page.algorithm, ids(page)) == ("time", [str(post) for post in posts])
    assert breaker.clickhouse.look().failures == 0
    places.release()
    assert pipeline.page(member(), limit=10, algo="ch").algorithm == "ch"
    assert places.acquire(blocking=False), "the place was given back"


@pytest.mark.usefixtures("short")
def test_so_it_is_with_those_who_ask_what_is_trending(community, monkeypatch) -> None:
    """After Redis was emptied nothing is kept until the job's next run, an hour later for the week."""
    viewer, _ = community
    redis.cache().delete("hot:posts:7d", "hot:posts:7d:items", suggestions.TRENDING)
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(building, "_places", lambda: places)
    asks = (lambda: pipeline.trending(viewer, "7d", 10), lambda: discover.suggested(viewer, 10))
    places.acquire()
    for ask in asks:
        with pytest.raises(Transient, match="at once"):
            ask()
    assert breaker.clickhouse.look().failures == 0
    places.release()
    for ask in asks:
        ask()
    assert places.acquire(blocking=False), "the place was given back"


def test_a_cached_feed_outlives_clickhouse(community, clickhouse) -> None:
    viewer, _ = community
    first = pipeline.page(viewer, limit=2)
    clickhouse.stop()
    again = pipeline.page(viewer, limit=2)
    assert (again.cache_hit, again.algorithm, again.snapshot) == (True, "ch", first.snapshot)
    assert len(pipeline.page(viewer, limit=2, cursor=again.cursor).items) == 1


@pytest.mark.usefixtures("short")
def test_a_cursor_goes_on_in_order_of_time_when_its_snapshot_and_clickhouse_are_gone(community, clickhouse) -> None:
    viewer, posts = community
    first = pipeline.page(viewer, limit=1)
    redis.cache().delete(f"feed:v1:{viewer}", f"feed:v1:{viewer}:{first.snapshot}")
    clickhouse.stop()
    second = pipeline.page(viewer, limit=10, cursor=first.cursor)
    assert (second.algorithm, second.snapshot_replaced) == ("time", True)
    assert sorted(ids(first) + ids(second)) == sorted(str(post) for post in posts)


def test_without_redis_feeds_are_ranked_each_time_and_paged(community, redis_server) -> None:
    viewer, posts = community
    redis_server.stop()
    first = pipeline.page(viewer, limit=1)
    assert (first.algorithm, first.cache_hit) == ("ch", False)
    second = pipeline.page(viewer, limit=1, cursor=first.cursor)
    third = pipeline.page(viewer, limit=1, cursor=second.cursor)
    assert third.cursor is None
    assert ids(first) + ids(second) + ids(third) == [str(post) for post in posts]
    assert ids(pipeline.page(viewer, limit=9, algo="time")) == [str(post) for post in posts]

    redis_server.start()
    cache.reset()
    assert not pipeline.page(viewer, limit=1).cache_hit
    assert pipeline.page(viewer, limit=1).cache_hit


def test_without_redis_the_page_is_shown_anew_for_news_only(client, settings, feeds, community, redis_server) -> None:
    """Each ranking is another snapshot then: the whole feed was replaced every two seconds."""
    settings.DEMO = True
    viewer, posts = community

    def told(shown: str) -> bool:
        return "feed:changed" in client.get(f"/page/{viewer}/pulse?snapshot={shown}").headers.get("HX-Trigger", "")

    redis_server.stop()
    shown = pipeline.page(viewer, limit=10).snapshot
    assert not told(shown)
    # Who has none at all is shown one.
    assert told("")
    feeds.now = clock.now()
    feeds.posts(feeds.rows[posts[0]]["author_id"], hours_ago=[0])
    assert told(shown)

    redis_server.start()
    cache.reset()
    assert told(shown)
    now = pipeline.page(viewer, limit=10)
    assert now.cache_hit
    assert not told(now.snapshot)
    invalidate(viewer)
    # Made for this question, and without news: the next one tells of it.
    assert not told(now.snapshot)
    assert told(now.snapshot)


def test_a_frozen_redis_holds_nobody(community, redis_server, settings) -> None:
    viewer, _ = community
    settings.REDIS_TIMEOUT = 0.2
    redis.cache.cache_clear()
    redis_server.freeze()
    assert pipeline.page(viewer, limit=1).algorithm == "ch"


@pytest.mark.usefixtures("short")
def test_without_redis_the_breaker_is_each_processs_own(community, redis_server, clickhouse) -> None:
    viewer, _ = community
    redis_server.stop()
    clickhouse.stop()
    for _ in range(3):
        assert pipeline.page(viewer, limit=1).algorithm == "time"
    verdict = breaker.clickhouse.look()
    assert (verdict.after, verdict.shared) == (State.OPEN, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("short")
def test_without_postgresql_too_the_last_good_feed_is_served(community, postgres, clickhouse, client_of) -> None:
    viewer, _ = community
    good = pipeline.page(viewer, limit=10)
    postgres.stop()
    connection.close()
    # ClickHouse alone is enough: authors are known by id.
    authors.forget()
    invalidate(viewer)
    nameless = pipeline.page(viewer, limit=10)
    assert (nameless.algorithm, ids(nameless)) == ("ch", ids(good))
    assert nameless.posts[0]["author"]["username"] is None

    clickhouse.stop()
    invalidate(viewer)
    last = pipeline.page(viewer, limit=2)
    assert (last.stale, last.cache_hit, ids(last)) == (True, True, ids(good)[:2])
    redis.cache().delete(f"feed:v1:{viewer}:{last.snapshot}")
    following = pipeline.page(viewer, limit=2, cursor=last.cursor)
    assert (following.stale, following.snapshot_replaced, ids(following)) == (True, False, ids(good)[2:])

    nobody = member()
    with pytest.raises(Transient):
        pipeline.page(nobody, limit=2)
    answer = client_of(nobody).get("/api/feed")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"] == "unavailable"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("short")
def test_who_was_blocked_since_is_not_in_the_last_good_feed(
    community, make_member, feeds, postgres, clickhouse
) -> None:
    viewer, _ = community
    blocked = make_member()
    feeds.follow(viewer, blocked)
    feeds.posts(blocked, hours_ago=[0.5, 1.5, 2.5])
    first = pipeline.page(viewer, limit=1)
    invalidate(viewer)
    assert str(blocked) in {post["author"]["id"] for post in pipeline.page(viewer, limit=10).posts}
    clickhouse.stop()
    postgres.stop()
    connection.close()
    block = Hiding(viewer, blocked, uuid4())
    effects.announce(effects.Effects(viewers={viewer}, hidings={block: True}), now=clock.now())
    last = pipeline.page(viewer, limit=3)
    assert last.stale
    # The room is filled.
    assert len(last.items) == 3
    assert str(blocked) not in {post["author"]["id"] for post in last.posts}
    # Nor in the rest of it for one whose own snapshot is gone.
    redis.cache().delete(f"feed:v1:{viewer}:{first.snapshot}")
    rest = pipeline.page(viewer, limit=2, cursor=first.cursor)
    assert (rest.stale, rest.snapshot_replaced, len(rest.items)) == (True, True, 2)
    assert str(blocked) not in {post["author"]["id"] for post in rest.posts}


@pytest.mark.django_db(transaction=True)
def test_a_restarted_postgresql_serves_the_first_call_already(community, postgres) -> None:
    viewer, posts = community
    connection.close()
    postgres.restart()
    assert ids(pipeline.page(viewer, limit=10, algo="time")) == [str(post) for post in posts]


def test_a_last_good_feed_is_never_older_than_what_tells_that_it_is_out_of_date(
    short: None, community, settings
) -> None:
    settings.LAST_GOOD_SECONDS = 30 * 86_400
    viewer, _ = community
    invalidate(viewer)
    pipeline.page(viewer, limit=5)
    kept = redis.cache().ttl(snapshot.key(str(viewer), snapshot.LAST_GOOD))
    assert redis.cache().ttl(generations.key(viewer)) > kept > 20 * 86_400
