"""What could stand in a viewer's feed: three sources and what is known of them, asked of ClickHouse in one deadline.

First what is known of the viewer, once for all sources; then the posts of the authors that two of the sources name, in
one read, beside those that are hot for everyone; then the counts of what they proposed. Each source is ordered before
it is cut, posts not yet seen first, so that filtering never leaves a page short. Own posts, deleted posts, and authors
blocked either way or muted never come out of here.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings

from nova import clickhouse, metrics
from nova.errors import Transient
from ranking import queries, trending
from ranking.merge import Candidate, Post, merge
from ranking.scoring import Counts

T = TypeVar("T")

FOLLOWEES = "followees"
TRENDING = "trending"
AFFINITY = "affinity"
# Only when the three sources have nothing at all: no page is empty while posts exist.
NEWEST = "newest"


_NOBODY = str(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Gathered:
    """The candidates of a viewer, the counts by post id, and the viewer's interactions by author id."""

    candidates: list[Candidate]
    counts: Mapping[str, Counts]
    interactions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Viewer:
    """What is known of a viewer. hidden: authors whose posts are not for them, themselves among these; followed: the
    authors they follow; seen: posts they saw lately; interactions: by author id."""

    hidden: set[str]
    followed: set[str]
    seen: set[str]
    interactions: Mapping[str, int]

    def closest(self, most: int) -> list[str]:
        """The authors with whom they had most to do, of those whose posts are for them."""
        known = [(number, author) for author, number in self.interactions.items() if author not in self.hidden]
        known.sort(key=lambda one: (-one[0], one[1]))
        return [author for _, author in known[:most]]


@dataclass(frozen=True, slots=True)
class _Hot:
    """The hottest posts of the day as anyone may see them, and their counts. listed: when the job made its list; until:
    how long the posts and counts are believed."""

    listed: datetime | None
    until: float
    posts: list[Post]
    counts: Mapping[str, Counts]

    def serves(self, listed: datetime) -> bool:
        """Are these, still, the posts of the list made then?"""
        return self.listed == listed and monotonic() < self.until


_NOTHING_HOT = _Hot(None, 0.0, [], {})
# A deleted post is left out by every reader meanwhile.
_HOT_SECONDS = 10.0
_hot = _NOTHING_HOT
_reading_hot = threading.Lock()
# Few rows at each of many places: read from the page cache where they lie, and a second thread of the server costs more
# than it spares. (Of the counts there are enough for two.)
_SCATTERED = {"local_filesystem_read_method": "mmap", "min_bytes_to_use_mmap_io": 1}
_FEW = {**_SCATTERED, "max_threads": 1}
# Of the newest posts that say the same, so many compete for the one place that they get.
_COPIES = 10


class Deadline:
    """`seconds` from now on for several calls together."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def left(self) -> float:
        """Seconds left. Raises `Transient` when there are none."""
        left = self._end - monotonic()
        if left <= 0:
            raise _too_late()
        return left


@cache
def _threads() -> ThreadPoolExecutor:
    # A call to a frozen server ends by several timeouts, one after the other: only who waits for a thread keeps time.
    return ThreadPoolExecutor(settings.CLICKHOUSE_POOL, thread_name_prefix="candidates")


def gather(viewer: str, now: datetime) -> Gathered:
    """Everything that ranking needs to know of a viewer. Raises a `nova.errors` class when ClickHouse does not answer
    in full within `settings.CLICKHOUSE_DEADLINE` seconds."""
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    asked_hot = _threads().submit(_hottest, now, deadline)
    known = _answer(_threads().submit(_viewer, viewer, now, deadline), deadline)
    by_authors = _answer(_threads().submit(_by_authors, known, now, deadline), deadline)
    hot = _answer(asked_hot, deadline)
    proposals = {
        FOLLOWEES: by_authors[FOLLOWEES],
        TRENDING: _shown_to(known, hot.posts),
        AFFINITY: by_authors[AFFINITY],
    }
    if not any(proposals.values()):
        parameters = {"viewer": viewer, "cap": settings.CANDIDATES_PER_SOURCE, "seen_after": seen_after(now)}
        proposals[NEWEST] = _answer(_threads().submit(_read, "newest", parameters, deadline.left()), deadline)
    for name, posts in proposals.items():
        metrics.FEED_CANDIDATES.labels(name).observe(len(posts))
    candidates = merge(proposals)
    others = [candidate.post.id for candidate in candidates if candidate.post.id not in hot.counts]
    counts = _answer(_threads().submit(lambda: counters(others, deadline.left())), deadline)
    return Gathered(candidates, {**hot.counts, **counts}, known.interactions)


def counters(posts: Iterable[str], timeout: float) -> dict[str, Counts]:
    """The counts of posts by id, one query for all; a post without any is absent. Raises as `clickhouse.query` does."""
    ids = list(posts)
    if not ids:
        return {}
    asked = ([("id", "String")], [(identifier,) for identifier in ids])
    rows = clickhouse.query(
        queries.sql("counters"), timeout=timeout, tables={"asked": asked}, server_settings=_SCATTERED
    )
    return {identifier: Counts(*numbers) for identifier, *numbers in rows}


def seen_after(now: datetime) -> str:
    """From when on a sight counts, as the queries take it."""
    return queries.moment(now - timedelta(days=settings.SEEN_DAYS))


def posts_of(ids: Iterable[str], viewer: str, now: datetime, timeout: float) -> dict[str, Post]:
    """Those of the posts that exist and that the viewer may see, by id; own posts are not among them."""
    wanted = list(ids)
    if not wanted:
        return {}
    parameters = {"viewer": viewer, "seen_after": seen_after(now), "ids": wanted}
    return {post.id: post for post in _read("posts_of", parameters, timeout)}


def forget() -> None:
    """Read the hottest posts again at the next call."""
    global _hot
    _hot = _NOTHING_HOT


def _viewer(viewer: str, now: datetime, deadline: Deadline) -> Viewer:
    since = (now - timedelta(days=settings.AFFINITY_DAYS)).date()
    parameters = {"viewer": viewer, "since": since, "seen_after": seen_after(now)}
    rows = clickhouse.query(queries.sql("viewer"), parameters, timeout=deadline.left(), server_settings=_FEW)
    return Viewer(
        hidden={viewer, *(identifier for what, identifier, _ in rows if what == "hidden")},
        followed={identifier for what, identifier, _ in rows if what == "followed"},
        seen={identifier for what, identifier, _ in rows if what == "seen"},
        interactions={identifier: number for what, identifier, number in rows if what == "interactions"},
    )


def _by_authors(known: Viewer, now: datetime, deadline: Deadline) -> dict[str, list[Post]]:
    """What the followees and the closest authors posted, by source."""
    cap = settings.CANDIDATES_PER_SOURCE
    lists: dict[str, Collection[str]] = {
        "followed_authors": known.followed - known.hidden,
        "closest_authors": known.closest(settings.AFFINITY_AUTHORS),
        "seen_by_viewer": known.seen,
    }
    parameters = {
        "followee_after": queries.moment(now - timedelta(hours=settings.FOLLOWEE_HOURS)),
        "closest_after": queries.moment(now - timedelta(hours=settings.AFFINITY_POST_HOURS)),
        "copies": _COPIES,
        "cap": cap,
    }
    tables = {name: ([("id", "UUID")], [(identifier,) for identifier in ids]) for name, ids in lists.items()}
    rows = clickhouse.query(
        queries.sql("by_authors"), parameters, timeout=deadline.left(), tables=tables, server_settings=_FEW
    )
    found = [(_post(row[:7]), row[7], row[8]) for row in rows]
    return {
        FOLLOWEES: [post for post, of_followee, _ in found if of_followee][:cap],
        AFFINITY: [post for post, _, of_closest in found if of_closest][:cap],
    }


def _hottest(now: datetime, deadline: Deadline) -> _Hot:
    """Reading a thousand posts and their counts by id costs more than all the rest, and while the job's list is the
    same they are the same for every viewer. When they must be read again one reader does so, and the others go on."""
    global _hot
    hot = trending.hot("24h", now, deadline.left())
    kept = _hot
    if kept.serves(hot.generated_at):
        return kept
    bearable = monotonic() < kept.until + _HOT_SECONDS
    if not _reading_hot.acquire(timeout=0 if bearable else deadline.left()):
        if not bearable:
            raise _too_late()
        return kept
    try:
        if not _hot.serves(hot.generated_at):
            best = [item.id for item in hot.posts]
            found = posts_of(best, _NOBODY, now, deadline.left())
            posts = [found[identifier] for identifier in best if identifier in found]
            counts = counters(found, deadline.left())
            _hot = _Hot(hot.generated_at, monotonic() + _HOT_SECONDS, posts, counts)
        return _hot
    finally:
        _reading_hot.release()


def _shown_to(known: Viewer, posts: Iterable[Post]) -> list[Post]:
    """Of posts that are the same for everyone, those for this viewer: the hottest that they have not seen first."""
    mine = [
        post._replace(seen=True) if post.id in known.seen else post
        for post in posts
        if post.author_id not in known.hidden
    ]
    mine.sort(key=attrgetter("seen"))
    return mine[: settings.CANDIDATES_PER_SOURCE]


def _read(name: str, parameters: Mapping[str, Any], timeout: float) -> list[Post]:
    return [_post(row) for row in clickhouse.query(queries.sql(name), parameters, timeout=timeout)]


def _post(row: Sequence[Any]) -> Post:
    *values, seen = row
    return Post._make((*values, bool(seen)))


def _answer(future: "Future[T]", deadline: Deadline) -> T:
    try:
        return future.result(timeout=deadline.left())
    except TookTooLong as error:
        raise _too_late() from error


def _too_late() -> Transient:
    return Transient("ClickHouse took longer than the deadline")
