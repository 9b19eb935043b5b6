"""Whom a member may want to follow, worked out for everyone: friends of friends, from ClickHouse into Redis.

A run numbers the members and lays out who follows whom in temporary tables of one connection, then goes through the
viewers in batches by key (clickhouse_sql/queries/suggest_*.sql); each batch comes back as ready JSON and is written
while the next one is worked out. What one run did not reach, the next begins with.

    suggest:users:{viewer}   {"generated_at": RFC 3339, "friends": [id, …],
                              "users": [[id, score, mutual, shared, [position in friends, …]], …]}
    suggest:trending         {"generated_at": RFC 3339, "users": [[id, score, people], …]}, for who has none of these
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from redis import Redis

from nova import clickhouse
from nova.clickhouse import Session
from ranking import cache, queries
from ranking.entries import rfc3339
from ranking.trending import WINDOWS

PERIOD = 600
# Kept through a run or two that fail.
TTL = 3 * PERIOD
TRENDING = "suggest:trending"
TRENDING_WINDOW = "7d"
TRENDING_LENGTH = 300
# Steps viewer → friend → candidate in one batch: 8 bytes each, in several copies while they are sorted and cut.
_STEPS = 10_000_000
_LEAST_VIEWERS, _MOST_VIEWERS = 100, 20_000
# A batch that was begun is ended, in this many seconds.
_BATCH_SECONDS = 60
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=(1 << 128) - 1)
# The viewers leave their GROUP BY in many small blocks. In a single one, all that follows would be one thread's work.
_SPREAD = {"group_by_two_level_threshold": 1}
# Writing a batch to Redis takes no longer.
WRITE_SECONDS = 10
_WRITE_AT_ONCE = 500
# A viewer, and as JSON: the friends who are a reason, and the suggestions.
_Row = tuple[UUID, str, str]


@dataclass(frozen=True)
class Report:
    """What a run did. viewers: that got suggestions; total: that follow somebody or are followed; data: bytes written;
    after: the viewer to go on after next time, None when all were reached."""

    viewers: int
    total: int
    batches: int
    data: int
    prepare_seconds: float
    after: UUID | None = None


def key(viewer: UUID | str) -> str:
    """The Redis key of a viewer's suggestions."""
    return f"suggest:users:{viewer}"


def refresh(
    now: datetime,
    *,
    left: Callable[[], float],
    after: UUID | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, of: None,
) -> Report:
    """Work out and keep everybody's suggestions, beginning after the viewer `after`, until no seconds are `left`.

    Raises a `nova.errors` class, or `RedisError`.
    """
    begun = monotonic()
    store = None if dry_run else cache.redis(WRITE_SECONDS)
    _keep_trending(store, now)
    with clickhouse.session() as session, ThreadPoolExecutor(1, thread_name_prefix="suggest") as writer:
        total, size = _prepare(session, now, left)
        prepared = monotonic()
        ranges = _ranges(session, size, after)
        done = viewers = data = 0
        pending: Future[int] | None = None
        reached: UUID | None = None
        for lo, hi in ranges:
            if left() <= 0:
                break
            rows = _suggest(session, lo, hi, now)
            data += pending.result() if pending else 0
            pending = writer.submit(_write, store, rows, now)
            done, viewers, reached = done + 1, viewers + len(rows), hi
            progress(min(total, done * size), total)
        data += pending.result() if pending else 0
    complete = done == len(ranges)
    return Report(viewers, total, done, data, prepared - begun, None if complete else reached or after)


def find_trending(now: datetime, timeout: float) -> list[tuple[str, float, int]]:
    """(author, decayed momentum, distinct members behind it), hottest first. Raises as `clickhouse.query` does."""
    parameters = {
        "decay": settings.FRESHNESS_DECAY,
        "now": queries.moment(now),
        "after": queries.moment(now - WINDOWS[TRENDING_WINDOW]),
        "floor": settings.TRENDING_FLOOR_USERS,
        "cap": TRENDING_LENGTH,
    }
    rows = clickhouse.query(queries.sql("trending_authors"), parameters, timeout=timeout)
    return [(str(author), float(velocity), int(people)) for author, velocity, people in rows]


def _keep_trending(store: Redis | None, now: datetime) -> None:
    found = find_trending(now, timeout=30)
    if store:
        store.set(TRENDING, orjson.dumps({"generated_at": rfc3339(now), "users": found}), ex=10 * TTL)


def _prepare(session: Session, now: datetime, left: Callable[[], float]) -> tuple[int, int]:
    """Lay out the members in temporary tables; how many there are, and how many viewers a batch should have."""
    session.run("CREATE TEMPORARY TABLE numbered (user UUID, n UInt32) ENGINE = Join(ANY, LEFT, user)", timeout=10)
    session.run(
        "CREATE TEMPORARY TABLE members (n UInt32, user UUID, follows Array(UInt32), interests Array(UInt32))"
        " ENGINE = Join(ANY, LEFT, n)",
        timeout=10,
    )
    session.run(queries.sql("suggest_numbers"), timeout=left())
    session.run(
        queries.sql("suggest_members"),
        {
            "fanout": settings.SUGGESTION_FANOUT,
            "interests": settings.SUGGESTION_INTERESTS,
            "since": _affinity_since(now),
        },
        timeout=left(),
        server_settings={"optimize_aggregation_in_order": 1, **_threads()},
    )
    ((total, reach),) = session.run(
        "SELECT count(), avg(least(length(follows), {friends:UInt32})) * avg(length(follows)) FROM members",
        {"friends": settings.SUGGESTION_FRIENDS},
        timeout=left(),
    )
    return total, max(_LEAST_VIEWERS, min(_MOST_VIEWERS, int(_STEPS / max(1.0, reach or 0.0))))


def _ranges(session: Session, size: int, after: UUID | None) -> list[tuple[UUID, UUID]]:
    """Batches of `size` viewers as (lo, hi], in ClickHouse's order of UUIDs, the one that follows `after` first."""
    rows = session.run(
        "SELECT user FROM members WHERE n % {size:UInt32} = 0 ORDER BY n", {"size": size}, timeout=_BATCH_SECONDS
    )
    bounds = [_LOWEST, *(row[0] for row in rows), _HIGHEST]
    ranges = list(pairwise(bounds))
    if after is None:
        return ranges
    ((number,),) = session.run(
        "SELECT joinGet('numbered', 'n', {after:UUID})", {"after": after}, timeout=_BATCH_SECONDS
    )
    first = number // size
    return ranges[first:] + ranges[:first]


def _suggest(session: Session, lo: UUID, hi: UUID, now: datetime) -> list[_Row]:
    parameters = {
        "lo": lo,
        "hi": hi,
        "since": _affinity_since(now),
        "friends": settings.SUGGESTION_FRIENDS,
        "keep": settings.SUGGESTIONS,
    }
    limits = {**_threads(), **_SPREAD}
    return session.run(queries.sql("suggest_batch"), parameters, timeout=_BATCH_SECONDS, server_settings=limits)


def _write(store: Redis | None, rows: Sequence[_Row], now: datetime) -> int:
    """Keep a batch; its bytes."""
    head = f'{{"generated_at":"{rfc3339(now)}","friends":'
    size = 0
    for some in _slices(rows):
        pipeline = store.pipeline(transaction=False) if store else None
        for viewer, friends, users in some:
            value = f'{head}{friends},"users":{users}}}'.encode()
            size += len(value)
            if pipeline:
                pipeline.set(key(viewer), value, ex=TTL)
        if pipeline:
            pipeline.execute()
    return size


def _slices(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), _WRITE_AT_ONCE):
        yield rows[start : start + _WRITE_AT_ONCE]


def _affinity_since(now: datetime) -> str:
    return (now - timedelta(days=settings.AFFINITY_DAYS)).date().isoformat()


def _threads() -> dict[str, Any]:
    return {"max_threads": settings.SUGGESTION_THREADS} if settings.SUGGESTION_THREADS else {}
