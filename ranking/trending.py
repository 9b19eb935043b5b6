"""What the community reacts to now: decayed momentum in a window, with a floor of distinct members.

One definition for the job that keeps the lists, the API that shows them, and the candidate source. Reactions are
counted by the hour, and the hour in which a window begins counts in full: "1h" reaches back between one hour and two.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from django.conf import settings

from nova import clickhouse
from ranking import cache, queries

log = logging.getLogger(__name__)

WINDOWS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
# Seconds between two refreshes of a list. It is kept ten times as long, so that a late job leaves no hole.
PERIODS = {"1h": 60, "24h": 300, "7d": 3600}
TTLS = {window: 10 * seconds for window, seconds in PERIODS.items()}
# More than any page shows: a viewer's hidden authors are taken out when it is read.
LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Hot:
    """A post of a list: its decayed momentum, and the distinct members behind it (the author not counted)."""

    id: str
    score: float
    people: int


@dataclass(frozen=True, slots=True)
class HotList:
    """The posts of a window, hottest first, and when they were found out."""

    posts: list[Hot]
    generated_at: datetime


def key(window: str) -> str:
    """The Redis key of a window's list: JSON `{"generated_at": RFC 3339, "posts": [[id, score, people], …]}`."""
    return f"hot:posts:{window}"


def hot(window: str, now: datetime, timeout: float) -> HotList:
    """The list that the job keeps, or the same worked out now. Raises a `nova.errors` class when neither can be had."""
    return listed(window) or find(window, now, timeout)


def listed(window: str) -> HotList | None:
    """The list that the job keeps; None when there is none, or no Redis."""
    kept = cache.ask(lambda redis: redis.get(key(window)), None)
    if kept is not None:
        try:
            return _loaded(kept)
        except (ValueError, KeyError, TypeError):
            log.warning("the trending list %s cannot be read and is worked out anew", key(window))
    return None


def find(window: str, now: datetime, timeout: float) -> HotList:
    """Work a window's list out. timeout in seconds. Raises as `clickhouse.query` does."""
    parameters = {
        "decay": settings.FRESHNESS_DECAY,
        "now": queries.moment(now),
        "after": queries.moment(now - WINDOWS[window]),
        "floor": settings.TRENDING_FLOOR_USERS,
        "cap": LENGTH,
    }
    rows = clickhouse.query(queries.sql("trending"), parameters, timeout=timeout)
    return HotList([Hot(str(post), float(velocity), int(people)) for post, velocity, people in rows], now)


def keep(redis: Any, window: str, found: HotList) -> None:
    """Keep a window's list. redis: a client, or a pipeline to be executed."""
    redis.set(key(window), _dumped(found), ex=TTLS[window])


def _dumped(hot_list: HotList) -> bytes:
    posts = [(item.id, item.score, item.people) for item in hot_list.posts]
    return orjson.dumps({"generated_at": hot_list.generated_at, "posts": posts})


# Every feed that is made reads the same list until the job makes the next.
@lru_cache(maxsize=4)
def _loaded(data: bytes) -> HotList:
    said = orjson.loads(data)
    return HotList([Hot(*item) for item in said["posts"]], datetime.fromisoformat(said["generated_at"]))
