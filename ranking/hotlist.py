"""A window's trending list as one viewer may see it: without own posts and hidden authors, with texts and counts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from nova.errors import Transient
from ranking import authors, breaker, candidates, entries, trending
from ranking.candidates import Deadline


@dataclass(frozen=True, slots=True)
class Trending:
    """Posts, hottest first: as in a feed, with `score` (decayed momentum) and `people` (distinct members behind it)."""

    window: str
    generated_at: str
    posts: list[dict[str, Any]]


def shown(viewer: str, window: str, limit: int, now: datetime) -> Trending:
    """At most `limit` posts of a window. Raises a `nova.errors` class when ClickHouse does not answer."""
    return breaker.clickhouse.call(lambda: _shown(viewer, window, limit, now))


def refresh(window: str, now: datetime) -> int:
    """Work a window's list out and keep it. Raises a `nova.errors` class."""
    try:
        return trending.refresh(window, now)
    except RedisError as error:
        raise Transient(f"the trending list cannot be kept: {error}") from error


def _shown(viewer: str, window: str, limit: int, now: datetime) -> Trending:
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    hot = trending.hot(window, now, deadline.left())
    found = candidates.posts_of((item.id for item in hot.posts), viewer, now, deadline.left())
    best = [item for item in hot.posts if item.id in found][:limit]
    counts = candidates.counters((item.id for item in best), deadline.left())
    cards = authors.cards({found[item.id].author_id for item in best})
    posts = [
        {
            **entries.shown(found[item.id], counts.get(item.id), cards[found[item.id].author_id]),
            "score": item.score,
            "people": item.people,
        }
        for item in best
    ]
    return Trending(window, entries.rfc3339(hot.generated_at), posts)
