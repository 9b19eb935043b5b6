"""What could stand in a viewer's feed: three sources and what is known of them, asked of ClickHouse in one deadline.

First what is known of the viewer, once for all sources; then the sources, side by side; then the counts of what they
proposed. Each source is ordered before it is cut, posts not yet seen first, so that filtering never leaves a page
short. Own posts, deleted posts, and authors blocked either way or muted never come out of here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
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
    """What is known of a viewer. hidden: authors whose posts are not for them, themselves among these; seen: posts they
    saw lately; interactions: by author id."""

    hidden: set[str]
    seen: set[str]
    interactions: Mapping[str, int]

    def closest(self, most: int) -> list[str]:
        """The authors with whom they had most to do, of those whose posts are for them."""
        known = [(number, author) for author, number in self.interactions.items() if author not in self.hidden]
        known.sort(key=lambda one: (-one[0], one[1]))
        return [author for _, author in known[:most]]


@dataclass(frozen=True, slots=True)
class _Hot:
    """The hottest posts of the day as anyone may see them. listed: when the job made its list; until: how long the
    posts are believed."""

    listed: datetime | None
    until: float
    posts: list[Post]


_NOTHING_HOT = _Hot(None, 0.0, [])
# A deleted post is left out by every reader meanwhile.
_HOT_SECONDS = 10.0
_hot = _NOTHING_HOT


class Deadline:
    """`seconds` from now on for several calls together."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def left(self) -> float:
        """Seconds left. Raises `Transient` when there are none."""
        left = self._end - monotonic()
        if left <= 0:
            raise Transient("ClickHouse took longer than the deadline")
        return left


@cache
def _threads() -> ThreadPoolExecutor:
    # A call to a frozen server ends by several timeouts, one after the other: only who waits for a thread keeps time.
    return ThreadPoolExecutor(settings.CLICKHOUSE_POOL, thread_name_prefix="candidates")


def gather(viewer: str, now: datetime) -> Gathered:
    """Everything that ranking needs to know of a viewer. Raises a `nova.errors` class when ClickHouse does not answer
    in full within `settings.CLICKHOUSE_DEADLINE` seconds."""
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    asked_hot = _threads().submit(_hottest, settings.CANDIDATES_PER_SOURCE, now, deadline)
    known = _answer(_threads().submit(_viewer, viewer, now, deadline), deadline)
    common = {"viewer": viewer, "cap": settings.CANDIDATES_PER_SOURCE}
    sources: dict[str, Callable[[], list[Post]]] = {
        FOLLOWEES: lambda: _posts(
            "followees",
            {**common, "after": queries.moment(now - timedelta(hours=settings.FOLLOWEE_HOURS))},
            deadline,
            hidden_authors=known.hidden,
            seen_by_viewer=known.seen,
        ),
        AFFINITY: lambda: _posts(
            "affinity",
            {**common, "after": queries.moment(now - timedelta(hours=settings.AFFINITY_POST_HOURS))},
            deadline,
            closest_authors=known.closest(settings.AFFINITY_AUTHORS),
            seen_by_viewer=known.seen,
        ),
    }
    asked = {name: _threads().submit(source) for name, source in sources.items()}
    hot = _answer(asked_hot, deadline)
    proposals = {
        FOLLOWEES: _answer(asked[FOLLOWEES], deadline),
        TRENDING: _shown_to(known, hot),
        AFFINITY: _answer(asked[AFFINITY], deadline),
    }
    if not any(proposals.values()):
        proposals[NEWEST] = _posts("newest", {**common, "seen_after": seen_after(now)}, deadline)
    for name, posts in proposals.items():
        metrics.FEED_CANDIDATES.labels(name).observe(len(posts))
    candidates = merge(proposals)
    ids = [candidate.post.id for candidate in candidates]
    counts: Future[Mapping[str, Counts]] = _threads().submit(lambda: counters(ids, deadline.left()))
    return Gathered(candidates, _answer(counts, deadline), known.interactions)


def counters(posts: Iterable[str], timeout: float) -> dict[str, Counts]:
    """The counts of posts by id, one query for all; a post without any is absent. Raises as `clickhouse.query` does."""
    ids = list(posts)
    if not ids:
        return {}
    asked = ([("id", "String")], [(identifier,) for identifier in ids])
    rows = clickhouse.query(queries.sql("counters"), timeout=timeout, tables={"asked": asked})
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
    rows = clickhouse.query(queries.sql("viewer"), parameters, timeout=deadline.left())
    return Viewer(
        hidden={viewer, *(identifier for what, identifier, _ in rows if what == "hidden")},
        seen={identifier for what, identifier, _ in rows if what == "seen"},
        interactions={identifier: number for what, identifier, number in rows if what == "interactions"},
    )


def _hottest(cap: int, now: datetime, deadline: Deadline) -> list[Post]:
    """Reading five hundred posts by id costs more than all the rest, and while the job's list is the same they are the
    same for every viewer. Not so their counts: a ranking that is worked out again must find what it found."""
    global _hot
    hot = trending.hot("24h", now, deadline.left())
    kept = _hot
    if kept.listed != hot.generated_at or monotonic() >= kept.until:
        best = [item.id for item in hot.posts[:cap]]
        found = posts_of(best, _NOBODY, now, deadline.left())
        posts = [found[identifier] for identifier in best if identifier in found]
        kept = _Hot(hot.generated_at, monotonic() + _HOT_SECONDS, posts)
        _hot = kept
    return kept.posts


def _shown_to(known: Viewer, posts: Iterable[Post]) -> list[Post]:
    """Posts that are the same for everyone, as this viewer may see them."""
    return [
        post._replace(seen=True) if post.id in known.seen else post
        for post in posts
        if post.author_id not in known.hidden
    ]


def _posts(name: str, parameters: Mapping[str, Any], deadline: Deadline, **lists: Collection[str]) -> list[Post]:
    tables = {name: ([("id", "UUID")], [(identifier,) for identifier in ids]) for name, ids in lists.items()}
    return _read(name, parameters, deadline.left(), tables)


def _read(
    name: str, parameters: Mapping[str, Any], timeout: float, tables: Mapping[str, clickhouse.Table] | None = None
) -> list[Post]:
    rows = clickhouse.query(queries.sql(name), parameters, timeout=timeout, tables=tables)
    return [Post._make((*values, bool(seen))) for *values, seen in rows]


def _answer(future: "Future[T]", deadline: Deadline) -> T:
    try:
        return future.result(timeout=deadline.left())
    except TookTooLong as error:
        raise Transient("ClickHouse took longer than the deadline") from error
