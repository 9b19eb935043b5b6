"""A window's trending list as one viewer may see it: without own posts, hidden authors and what was deleted since.

The job keeps each post as ready JSON, and the answer is made of these bytes: no ClickHouse is asked, so the list
outlives its outage. What may be shown is asked of PostgreSQL at that moment; without it, and while nothing is kept, of
ClickHouse.

    hot:posts:{window}:items   list: when it was made (RFC 3339), then the posts, hottest first, packed:
                               0..35 post id   36..71 author id   72.. JSON
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from community import selectors
from nova.errors import Transient
from ranking import authors, building, cache, candidates, entries, seen, trending
from ranking.candidates import Deadline
from ranking.trending import HotList

# A reader that nobody has blocked and that has seen nothing.
_NOBODY = str(UUID(int=0))
_JOB_SECONDS = 30.0
_SPARE = 100


@dataclass(frozen=True, slots=True)
class _Kept:
    """A post as it is kept."""

    packed: bytes

    @property
    def id(self) -> str:
        return self.packed[:36].decode()

    @property
    def author_id(self) -> str:
        return self.packed[36:72].decode()

    @property
    def item(self) -> bytes:
        return self.packed[72:]


@dataclass(frozen=True)
class Trending:
    """items: JSON of each post, hottest first, as in a feed, with `score` (decayed momentum) and `people` (distinct
    members behind it)."""

    window: str
    generated_at: str
    items: tuple[bytes, ...]

    @cached_property
    def posts(self) -> list[dict[str, Any]]:
        """The items read."""
        return [orjson.loads(item) for item in self.items]


def shown(viewer: str, window: str, limit: int, now: datetime) -> Trending:
    """At most `limit` posts of a window. Raises a `nova.errors` class when neither the job's list nor ClickHouse can be
    had, or nobody can say what may be shown."""
    sight = seen.lately(viewer, now)
    # The whole list only for a viewer who may not see much of its beginning.
    for last in (limit + _SPARE, -1):
        kept = _kept(window, last)
        if not kept:
            break
        generated, *posts = kept[0], *map(_Kept, kept[1:])
        may = _visible(viewer, {post.id for post in posts}, now)
        chosen = [post for post in posts if post.id in may][:limit]
        if len(chosen) == limit or last < 0 or len(kept) <= last:
            items = (_as_seen(post.item) if post.id in sight else post.item for post in chosen)
            return Trending(window, generated.decode(), tuple(items))
    return building.ask(lambda: _worked_out(viewer, window, limit, now))


def refresh(window: str, now: datetime) -> int:
    """Work a window's list out and keep it; how many posts it has. Raises a `nova.errors` class."""
    deadline = Deadline(_JOB_SECONDS)
    hot = trending.find(window, now, deadline.left())
    items = _items(hot, _NOBODY, now, deadline)
    try:
        pipeline = cache.redis().pipeline()
        trending.keep(pipeline, window, hot)
        pipeline.delete(key(window))
        pipeline.rpush(key(window), entries.rfc3339(hot.generated_at), *(post.packed for post in items))
        pipeline.expire(key(window), trending.TTLS[window])
        pipeline.execute()
    except RedisError as error:
        raise Transient(f"the trending list cannot be kept: {error}") from error
    return len(hot.posts)


def key(window: str) -> str:
    """The Redis key of a window's posts, ready to be sent."""
    return f"{trending.key(window)}:items"


def _kept(window: str, last: int) -> list[bytes]:
    """What is kept of a window, up to the position `last`; nothing without Redis."""
    found: list[bytes] = cache.ask(lambda redis: redis.lrange(key(window), 0, last), [])
    return found


def _worked_out(viewer: str, window: str, limit: int, now: datetime) -> Trending:
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    hot = trending.hot(window, now, deadline.left())
    items = _items(hot, viewer, now, deadline, limit)
    return Trending(window, entries.rfc3339(hot.generated_at), tuple(post.item for post in items))


def _items(hot: HotList, viewer: str, now: datetime, deadline: Deadline, limit: int | None = None) -> list[_Kept]:
    """The posts of a list that the viewer may see, ready to be sent."""
    found = candidates.posts_of((one.id for one in hot.posts), viewer, now, deadline.left())
    best = [one for one in hot.posts if one.id in found][:limit]
    counts = candidates.counters((one.id for one in best), deadline.left())
    cards = authors.cards({found[one.id].author_id for one in best})
    items = []
    for one in best:
        post = found[one.id]
        item = entries.shown(post, counts.get(one.id), cards[post.author_id])
        known = {**item, "score": one.score, "people": one.people}
        items.append(_Kept(f"{post.id}{post.author_id}".encode() + orjson.dumps(known, option=orjson.OPT_UTC_Z)))
    return items


def _visible(viewer: str, posts: Collection[str], now: datetime) -> Collection[str]:
    """Those of the posts that exist and that the viewer may see."""
    try:
        hidden = selectors.hidden_authors(UUID(viewer)) | {UUID(viewer)}
        there = selectors.authors_of({UUID(post) for post in posts})
        return {str(post) for post, author in there.items() if author not in hidden}
    except DatabaseError:
        deadline = settings.CLICKHOUSE_DEADLINE
        return building.ask(lambda: candidates.posts_of(posts, viewer, now, deadline))


def _as_seen(item: bytes) -> bytes:
    # The last one: behind it stand numbers only.
    head, unseen, tail = item.rpartition(b'"seen":false')
    return head + b'"seen":true' + tail if unseen else item
