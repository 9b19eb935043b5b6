"""The one entry of feed/ and jobs/ into ranking: a page of a feed, what is newer, what is trending.

The ladder: a snapshot in Redis, else ranked from ClickHouse behind its breaker, else in order of time from PostgreSQL,
else the last good snapshot, marked stale. Only when all of it fails is there no answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError

from community import selectors
from nova import clock, generations, metrics
from nova.errors import NovaError, Transient
from ranking import building, hotlist, snapshot, split, why_facts
from ranking.building import CH, TIME
from ranking.changes import Changes, count_newer, is_snapshot, marks
from ranking.cursor import Cursor, InvalidCursor
from ranking.entries import Entry
from ranking.hotlist import Trending
from ranking.ready import Ready, ready
from ranking.snapshot import About, Missing, Slice, Snapshot
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
    "changes",
    "invalidate",
    "is_snapshot",
    "marks",
    "newer",
    "page",
    "rank",
    "ready",
    "refresh_trending",
    "trending",
    "why",
]

# No snapshot is longer.
_ALL = 1_000_000


class Unavailable(Transient):
    """Neither Redis, nor ClickHouse, nor PostgreSQL could give a feed."""


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


@dataclass(frozen=True, slots=True)
class _Found:
    """A part of a snapshot and how it was come by. cache: hit, stale (soft age over, rebuilt meanwhile) or miss."""

    part: Slice
    cache: str
    last_good: bool = False
    replaced: bool = False


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
    if cursor is None:
        found = _first(viewer, algo, limit, explain, at)
    else:
        since = Cursor.decode(cursor, viewer)
        algo, found = since.asked, _next(viewer, since, limit, explain, at)
    entries: Sequence[Entry] = found.part.entries
    after = found.part.after
    # A snapshot made before a block may hold authors who must not be seen by now.
    if cursor is not None and found.part.about.generation != found.part.generation:
        entries, after = _without_hidden(viewer, found.part, limit, explain)
    about = found.part.about
    has_more = after < found.part.length and bool(entries)
    metrics.FEED_ANSWERS.labels(about.algorithm, found.cache).inc()
    metrics.FEED_EXPERIMENT_ANSWERS.labels(about.experiment or "none", found.cache).inc()
    return Page(
        items=tuple(entry.explained if explain else entry.item for entry in entries),
        cursor=_cursor(about, after, entries[-1].key, algo).encode(viewer) if has_more else None,
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
    about = _first(viewer, algo, 0, False, at).part.about

    def all_ids() -> list[str]:
        return [entry.id for entry in _first(viewer, algo, _ALL, False, at).part.entries]

    return Changes(about.snapshot, count_newer(viewer, since, about, all_ids) if since else 0)


def rank(viewer_id: UUID, now: datetime | None = None) -> str:
    """Rank a viewer's feed and keep it, whatever is kept; its snapshot's id. Raises a `nova.errors` class."""
    return building.build(str(viewer_id), CH, now or clock.now()).about.snapshot


def why(viewer_id: UUID, post_id: UUID, now: datetime | None = None) -> Why:
    """Why a post is in the viewer's feed, or is not. Raises `NoSuchPost`, a `nova.errors` class or `DatabaseError`."""
    viewer, at = str(viewer_id), now or clock.now()
    feed = _first(viewer, split.algorithm_of(viewer), _ALL, True, at).part
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


def _cursor(about: About, after: int, last: str, asked: str) -> Cursor:
    return Cursor(about.snapshot, after, about.shown, last, about.algorithm, asked)


def _first(viewer: str, algo: str, limit: int, explain: bool, now: datetime) -> _Found:
    """The beginning of a feed, by the highest step of the ladder that holds."""
    for algorithm in (CH, TIME) if algo == CH else (TIME,):
        try:
            part, how = building.obtain(viewer, algorithm, limit=limit, explain=explain, now=now)
            return _Found(part, how)
        except (NovaError, DatabaseError):
            continue
    part_or_none = snapshot.read(viewer, algorithm=algo, snapshot=snapshot.LAST_GOOD, limit=limit, explain=explain)
    if isinstance(part_or_none, Missing):
        raise Unavailable("no feed can be made at the moment")
    return _Found(part_or_none, building.STALE, last_good=True)


def _next(viewer: str, since: Cursor, limit: int, explain: bool, now: datetime) -> _Found:
    """What follows a cursor: in its snapshot, else in a new one without what was shown."""

    def read(name: str) -> Slice | Missing:
        return snapshot.read(
            viewer, algorithm=since.asked, snapshot=name, position=since.position, limit=limit, explain=explain
        )

    part = read(since.snapshot)
    if isinstance(part, Slice):
        return _Found(part, building.HIT)
    ids = snapshot.ids(viewer, since.snapshot)
    if ids is None and (made := snapshot.made_at(since.snapshot)):
        # Only the sort key is left to go by: the scores must be those of that moment again.
        now = datetime.fromtimestamp(made, UTC)
    whole = _first(viewer, since.asked, _ALL, True, now)
    if whole.last_good and whole.part.about.snapshot == since.snapshot:
        head = read(snapshot.LAST_GOOD)
        if isinstance(head, Slice):
            return replace(whole, part=head)
    return _go_on(viewer, since, whole, ids or [], limit)


def _go_on(viewer: str, since: Cursor, whole: _Found, ids: Sequence[str], limit: int) -> _Found:
    """The rest of a feed whose snapshot is gone, as a snapshot of its own for this reader.

    What was shown is left out. What was still to come is shown, and what ranks below the last post shown; what is new
    above it belongs to the first page of the feed, not in the middle of this one.
    """
    about = whole.part.about
    had = since.shown_before + since.position
    shown, due = ids[:had], set(ids[had:])
    past = set(shown)
    rest = [
        entry
        for entry in whole.part.entries
        if entry.id not in past and (entry.id in due or entry.key < since.last or about.algorithm != since.made_by)
    ]
    ranked_at = datetime.fromtimestamp(about.started, UTC)
    weights = building.weights_of(viewer, about.algorithm, ranked_at)
    made = Snapshot.made(rest, algorithm=about.algorithm, generation=about.generation, weights=weights, now=ranked_at)
    known = replace(made.about, shown=len(shown), version=about.version, experiment=about.experiment)
    kept = replace(made, about=known)
    snapshot.keep(viewer, kept, shown=shown, pointed=False)
    return _Found(kept.cut(0, limit), whole.cache, whole.last_good, replaced=True)


def _without_hidden(viewer: str, part: Slice, limit: int, explain: bool) -> tuple[Sequence[Entry], int]:
    """A page without the authors hidden since, the room filled from what follows; the position after it."""
    try:
        hidden = {str(author) for author in selectors.hidden_authors(UUID(viewer))}
    except DatabaseError:
        return part.entries, part.after
    kept = [entry for entry in part.entries if entry.author_id not in hidden]
    after = part.after
    while len(kept) < limit and after < part.length:
        more = snapshot.read(
            viewer,
            algorithm=part.about.algorithm,
            snapshot=part.about.snapshot,
            position=after,
            limit=limit - len(kept),
            explain=explain,
        )
        if isinstance(more, Missing):
            break
        kept += [entry for entry in more.entries if entry.author_id not in hidden]
        after = more.after
    return kept, after
