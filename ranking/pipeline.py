"""The only entry to feeds, for feed/ and jobs/: a page of one, what is newer, why a post is in it, what is trending.

Which path makes an answer is told by `ladder`, what follows a page by `paging`, and the shortest way to a kept feed by
`ready`. Suggested members are `discover`'s; jobs also call `suggestions`, `trending` and `warming`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson

from nova import clock, generations, metrics
from ranking import breaker, building, hotlist, split, why_facts
from ranking.building import CH, TIME
from ranking.changes import Changes, count_newer, is_snapshot, marks
from ranking.cursor import Cursor, InvalidCursor, prints
from ranking.entries import Entry
from ranking.hotlist import Trending
from ranking.ladder import ALL, first
from ranking.paging import following, without_hidden
from ranking.ready import Ready, counters, ready
from ranking.trending import WINDOWS
from ranking.why import Why
from ranking.why_facts import NoSuchPost

__all__ = [
    "CH",
    "TIME",
    "Changes",
    "InvalidCursor",
    "NoSuchPost",
    "Page",
    "Ready",
    "Trending",
    "Why",
    "breaker_state",
    "changes",
    "counters",
    "invalidate",
    "is_snapshot",
    "marks",
    "newer",
    "page",
    "rank",
    "ready",
    "refresh_trending",
    "trending",
    "usual_algorithm",
    "why",
]


@dataclass(frozen=True)
class Page:
    """A page of a feed. items: each post as JSON, with its explanation when asked for; cursor: for the next page, None
    at the end; algorithm: "ch" (ranked) or "time"; generated_at: RFC 3339; stale: nothing newer could be had;
    experiment: by whose weights it was ranked."""

    items: tuple[bytes, ...]
    cursor: str | None
    has_more: bool
    cache_hit: bool
    algorithm: str
    snapshot: str
    snapshot_replaced: bool
    generated_at: str
    stale: bool
    experiment: str | None = None

    @cached_property
    def posts(self) -> list[dict[str, Any]]:
        """The items read: id, author {id, username, display_name}, created_at, text, media, counts, seen; explained
        also sources, freshness, engagement, affinity, final, moved_by_diversity, inputs, weights."""
        return [orjson.loads(item) for item in self.items]


def page(
    viewer_id: UUID,
    *,
    limit: int,
    cursor: str | None = None,
    algo: str | None = None,
    explain: bool = False,
    now: datetime | None = None,
) -> Page:
    """A page of at most `limit` posts. algo: "ch", or "time" for order of time from PostgreSQL, None for the
    viewer's own by `FEED_CH_PERCENT`; a cursor keeps its own.

    Raises `InvalidCursor` (forged, or another viewer's), `Transient` when nothing can answer.
    """
    viewer, at = str(viewer_id), now or clock.now()
    algo = algo or split.algorithm_of(viewer)
    shown = b""
    if cursor is None:
        found = first(viewer, algo, limit, explain, at)
    else:
        since = Cursor.decode(cursor, viewer)
        algo, shown, found = since.asked, since.shown, following(viewer, since, limit, explain, at)
    entries: Sequence[Entry] = found.part.entries
    after = found.part.after
    # A snapshot made before a block may hold authors who must not be seen by now.
    if (cursor or found.last_good) and found.part.about.generation != found.part.generation:
        entries, after = without_hidden(viewer, found, limit, explain)
    about = found.part.about
    has_more = after < found.part.length and bool(entries)
    following_page = None
    if has_more:
        shown += prints(entry.id for entry in entries)
        place = about.snapshot, after, about.shown, entries[-1].key
        following_page = Cursor(*place, about.algorithm, algo, shown).encode(viewer)
    metrics.FEED_ANSWERS.labels(about.algorithm, found.cache).inc()
    metrics.FEED_EXPERIMENT_ANSWERS.labels(about.experiment or "none", found.cache).inc()
    return Page(
        items=tuple(entry.explained if explain else entry.item for entry in entries),
        cursor=following_page,
        has_more=has_more,
        cache_hit=found.cache != building.MISS,
        algorithm=about.algorithm,
        snapshot=about.snapshot,
        snapshot_replaced=found.replaced,
        generated_at=about.generated_at,
        stale=found.last_good,
        experiment=about.experiment or None,
    )


def newer(viewer_id: UUID, since: str, algo: str | None = None, now: datetime | None = None) -> int:
    """How many posts the viewer's feed has that snapshot `since` had not. Raises as `changes` does."""
    return changes(viewer_id, since, algo, now).newer


def changes(viewer_id: UUID, since: str = "", algo: str | None = None, now: datetime | None = None) -> Changes:
    """What became of the viewer's feed since a snapshot ("": nothing is counted). One out of date is made anew.

    Raises `ValueError` when `since` is no snapshot's id, `Transient` when nothing can answer.
    """
    viewer, at = str(viewer_id), now or clock.now()
    algo = algo or split.algorithm_of(viewer)
    if since and not is_snapshot(since):
        raise ValueError("This is no snapshot's id.")
    about = first(viewer, algo, 0, False, at).part.about

    def read() -> Sequence[Entry]:
        return first(viewer, algo, ALL, False, at).part.entries

    return Changes(about.snapshot, count_newer(viewer, since, about, read) if since else 0)


def rank(viewer_id: UUID, now: datetime | None = None) -> str:
    """Rank a viewer's feed and keep it, whatever is kept; its snapshot's id. Raises a `nova.errors` class."""
    return building.build(str(viewer_id), CH, now or clock.now()).about.snapshot


def why(viewer_id: UUID, post_id: UUID, now: datetime | None = None) -> Why:
    """Why a post is in the viewer's feed, or is not. Raises `NoSuchPost`, a `nova.errors` class or `DatabaseError`."""
    viewer, at = str(viewer_id), now or clock.now()
    feed = first(viewer, split.algorithm_of(viewer), ALL, True, at).part
    return why_facts.explain(viewer, str(post_id), feed, at)


def invalidate(viewers: Collection[UUID], scope: str, now: datetime | None = None) -> int:
    """Have the feeds of these viewers (scope "feed"), the lists of what is trending ("trending"), or both ("all") made
    anew; how many feeds and lists. Raises `redis.RedisError`, for the lists also a `nova.errors` class."""
    at, count = now or clock.now(), 0
    if scope != "feed":
        for window in WINDOWS:
            hotlist.refresh(window, at)
            count += 1
    return count if scope == "trending" else count + generations.bump(viewers)


def trending(viewer_id: UUID, window: str, limit: int, now: datetime | None = None) -> Trending:
    """What is hot in a window ("1h", "24h", "7d"), as this viewer may see it. Raises a `nova.errors` class."""
    return hotlist.shown(str(viewer_id), window, limit, now or clock.now())


def refresh_trending(window: str, now: datetime) -> int:
    """Work a window's list out for everyone and keep it; how many posts it has. Raises a `nova.errors` class."""
    return hotlist.refresh(window, now)


def usual_algorithm(viewer_id: UUID) -> str:
    """How the viewer's feed is made while nothing is down: "ch" or "time", by `FEED_CH_PERCENT`."""
    return split.algorithm_of(str(viewer_id))


def breaker_state() -> str:
    """The breaker around ClickHouse, as all processes see it: "closed", "half open" or "open"."""
    return breaker.clickhouse.look().after.label
