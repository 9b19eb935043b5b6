"""The fixtures `feeds` and `viewer`, for tests of ranking and of the feed's calls: a plugin, named by who uses it."""

from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.core.management import call_command

from nova import clickhouse, redis
from ranking import authors, breaker, cache, candidates, experiments, hotlist, recent, snapshot, trending
from tests.feeds import Feeds, member

TABLES = (
    "posts_cdc",
    "posts_by_author",
    "follows_cdc",
    "blocks_cdc",
    "blocks_by_blocked",
    "events",
    "event_ids",
    "post_metrics_1h",
    "post_counters",
    "user_author_90d",
    "seen_posts",
)


def _use(where: dict[str, Any]) -> None:
    settings.CLICKHOUSE = where
    clickhouse._pool.cache_clear()
    clickhouse._http.cache_clear()


@pytest.fixture(scope="module")
def ranking_clickhouse(django_db_setup, django_db_blocker) -> Iterator[None]:
    """A new database on the same server, with the whole schema, for one test module."""
    before, name = settings.CLICKHOUSE, f"nova_test_{uuid4().hex[:12]}"
    _use(before | {"database": name})
    with django_db_blocker.unblock():
        call_command("migrate_clickhouse", stdout=StringIO())
    yield
    _use(before)
    clickhouse.command(f"DROP DATABASE IF EXISTS `{name}` SYNC", database="default")


@pytest.fixture
def patient(settings) -> Iterator[None]:
    """Deadlines that a busy machine keeps too: these tests are about what is answered, not when."""
    settings.CLICKHOUSE_DEADLINE = 30
    settings.REDIS_TIMEOUT = 10
    reconnect()
    yield
    reconnect()


def reconnect() -> None:
    """Let the settings of now hold for Redis, too."""
    redis.cache.cache_clear()
    redis.durable.cache_clear()


@pytest.fixture
def feeds(ranking_clickhouse: None, db: None, patient: None, settings) -> Iterator[Feeds]:
    """An empty ClickHouse; nothing kept of trends, breakers or deleted posts; what was counted is read at once."""
    settings.COUNTS_MEMORY_SECONDS = 0
    for table in TABLES:
        clickhouse.command(f"TRUNCATE TABLE {table}")
    forget()
    yield Feeds()
    forget()


def forget() -> None:
    """Drop what Redis and this process know beyond single viewers."""
    cache.reset()
    authors.forget()
    candidates.forget()
    recent.forget()
    breaker.clickhouse.forget()
    experiments.forget()
    kept = [key(window) for key in (trending.key, hotlist.key) for window in trending.WINDOWS]
    redis.durable().delete(breaker.clickhouse.key)
    keys = [snapshot.GONE, recent.LOADING, *kept]
    redis.cache().delete(*keys)


@pytest.fixture
def viewer(feeds: Feeds) -> UUID:
    """Someone who follows twelve authors with five posts each."""
    viewer, followees = member(), [member() for _ in range(12)]
    feeds.follow(viewer, *followees)
    for number, author in enumerate(followees):
        feeds.posts(author, hours_ago=[1 + number + 12 * turn for turn in range(5)])
    return viewer
