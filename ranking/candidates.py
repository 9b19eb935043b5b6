"""What could stand in a viewer's feed: three sources and what is known of them, asked of ClickHouse in one deadline.

First whom the viewer follows and with whom they had to do; then the posts of the authors that two of the sources name,
in one read, with the counts that the server holds in memory; beside it whom the viewer must not see, what they have
seen, and what is hot for everyone; then the counts that are lacking. Each source is ordered before it is cut, posts not
yet seen first, so that filtering never leaves a page short. Own posts, deleted posts, and authors blocked either way or
muted never come out of here.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from operator import attrgetter
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings

from nova import clickhouse, metrics
from nova.errors import Permanent, Transient
from ranking import queries, recent, snapshot, trending
from ranking.merge import Candidate, Post, merge
from ranking.scoring import Counts
from ranking.sources import AFFINITY, FOLLOWEES, NEWEST, TRENDING, Cut, Source, cut
from ranking.trending import HotList

T = TypeVar("T")

_NOBODY = str(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Gathered:
    """The candidates of a viewer, the counts by post id, the viewer's interactions by author id, and the authors that
    are hidden from them, they themselves among these."""

    candidates: list[Candidate]
    counts: Mapping[str, Counts]
    interactions: Mapping[str, int]
    hidden: Collection[str]


class _Viewer:
    """The two sources that name authors, for a viewer at a time: followees, whom they follow, and closest, with whom
    they had most to do; without the authors that are hidden from them. until: when their last posts were made."""

    def __init__(
        self, hidden: set[str], followed: set[str], interactions: Mapping[str, int], now: datetime, until: datetime
    ) -> None:
        self.until = until
        closest = set(by_closeness(interactions, hidden)[: settings.AFFINITY_AUTHORS])
        self.followees = Source(followed - hidden, now - timedelta(hours=settings.FOLLOWEE_HOURS))
        self.closest = Source(closest, now - timedelta(hours=settings.AFFINITY_POST_HOURS))


@dataclass(frozen=True, slots=True)
class _Hot:
    """The hottest posts of the day as anyone may see them, and their counts. listed: when the job made its list; until:
    how long the posts and counts are believed."""

    listed: datetime | None
    until: float
    posts: list[Post]
    counts: Mapping[str, Counts]

    def serves(self, listed: HotList | None) -> bool:
        """Are these, still, the posts of that list? Where there is none, what was worked out instead will do."""
        is_it = listed is None or self.listed == listed.generated_at
        return is_it and monotonic() < self.until


_NOTHING_HOT = _Hot(None, 0.0, [], {})
_HOT_SECONDS = 10.0
_hot = _NOTHING_HOT
# Those of the hottest that were deleted, and the state of the deletions in which that was found.
_gone: tuple[_Hot, str, set[str]] = _NOTHING_HOT, "", set()
_reading_hot = threading.Lock()
# Few rows at each of many places: read from the page cache where they lie, all columns at once. What a
# condition matched is not remembered: no other query has the same.
_SCATTERED = {
    "local_filesystem_read_method": "mmap",
    "min_bytes_to_use_mmap_io": 1,
    "optimize_move_to_prewhere": 0,
    "use_query_condition_cache": 0,
}
# A second thread of the server costs more than it spares. (Of the counts there are enough for two.) So does reading the
# texts only after the order is known, for rows that are all sent. An author's place in the index is found in fewer
# steps by fourths than by eighths.
_FEW = {
    **_SCATTERED,
    "max_threads": 1,
    "query_plan_optimize_lazy_materialization": 0,
    "merge_tree_coarse_index_granularity": 4,
}
# Of the newest posts that say the same, so many compete for the one place that they get.
_COPIES = 10
# Whoever follows more would often have more posts to choose from than are read: the server cuts at once.
_MANY = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last moment that ClickHouse has.
_LAST = datetime(2299, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


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


def gather(viewer: str, now: datetime, until: datetime | None = None) -> Gathered:
    """Everything that ranking needs to know of a viewer; of posts only those made `until` then, if it is given.

    Raises a `nova.errors` class when ClickHouse does not answer in full within `settings.CLICKHOUSE_DEADLINE` seconds.
    """
    last = until or _LAST
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    asked_hot = _ask(_still_hot, now, deadline)
    asked_interactions = _ask(_interactions, viewer, now, deadline)
    followed = _answer(_ask(_followed, viewer, deadline), deadline)
    interactions = _answer(asked_interactions, deadline)
    asked_limits = _ask(_hidden_and_seen, viewer, now, deadline)

    def as_seen_by(hidden: set[str]) -> _Viewer:
        return _Viewer(hidden | {viewer}, followed, interactions, now, last)

    supposed = as_seen_by(set())
    asked_posts = _ask(_of_authors, supposed, as_seen_by, asked_limits, asked_hot, deadline)
    hidden, seen = _answer(asked_limits, deadline)
    hot = _answer(asked_hot, deadline)
    trending_posts = _shown_to(hidden | {viewer}, seen, (post for post in hot.posts if post.created_at <= last))
    of_authors, counts = _answer(asked_posts, deadline)
    counts |= hot.counts
    proposals = {FOLLOWEES: of_authors.followees, TRENDING: trending_posts, AFFINITY: of_authors.closest}
    if not any(proposals.values()):
        parameters = {
            "viewer": viewer,
            "until": queries.moment(last),
            "cap": settings.CANDIDATES_PER_SOURCE,
            "seen_after": seen_after(now),
        }
        newest = _answer(_ask(_read, "newest", parameters, deadline.left()), deadline)
        counts = _answer(_ask(counters, [post.id for post in newest], deadline.left()), deadline)
        proposals[NEWEST] = newest
    for name, posts in proposals.items():
        metrics.FEED_CANDIDATES.labels(name).observe(len(posts))
    return Gathered(merge(proposals), counts, interactions, hidden | {viewer})


def by_closeness(interactions: Mapping[str, int], hidden: Collection[str]) -> list[str]:
    """Authors by how much a viewer had to do with them, most first; without those that are hidden."""
    known = [(-number, author) for author, number in interactions.items() if author not in hidden]
    return [author for _, author in sorted(known)]


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


def _followed(viewer: str, deadline: Deadline) -> set[str]:
    rows = clickhouse.query(queries.sql("followed"), {"viewer": viewer}, timeout=deadline.left(), server_settings=_FEW)
    return {identifier for (identifier,) in rows}


def _interactions(viewer: str, now: datetime, deadline: Deadline) -> dict[str, int]:
    since = (now - timedelta(days=settings.AFFINITY_DAYS)).date()
    parameters = {"viewer": viewer, "since": since}
    rows = clickhouse.query(queries.sql("interactions"), parameters, timeout=deadline.left(), server_settings=_FEW)
    return {author: number for author, number in rows if number > 0}


def _hidden_and_seen(viewer: str, now: datetime, deadline: Deadline) -> tuple[set[str], set[str]]:
    """Authors whose posts are not for the viewer; posts they have seen."""
    parameters = {"viewer": viewer, "seen_after": seen_after(now)}
    ((hidden, seen),) = clickhouse.query(
        queries.sql("hidden_and_seen"), parameters, timeout=deadline.left(), server_settings=_FEW
    )
    return set(hidden), set(seen)


def _of_authors(
    supposed: _Viewer,
    as_seen_by: Callable[[set[str]], _Viewer],
    asked_limits: "Future[tuple[set[str], set[str]]]",
    asked_hot: "Future[_Hot]",
    deadline: Deadline,
) -> tuple[Cut, dict[str, Counts]]:
    """What the followees and the closest authors propose; the counts of those posts that are not hot.

    supposed: the viewer, as if nobody were hidden from them; as_seen_by: the viewer, by who is, which is asked for at
    the same time.
    """
    in_memory = recent.serve(deadline.left())
    metrics.FEED_COUNTS.labels("memory" if in_memory else "table").inc()
    cap = settings.CANDIDATES_PER_SOURCE
    # What is read goes beyond the caps, since what the viewer has seen goes to the end.
    reach = 6 * cap
    many = len(supposed.followees.authors) > _MANY
    rows = [] if many else _newest_of(supposed, reach, in_memory, deadline)
    hidden, seen = _answer(asked_limits, deadline)
    known = as_seen_by(hidden) if hidden else supposed
    if not many and not known.closest.authors <= supposed.closest.authors:
        # Others take the places of those who are hidden.
        rows = _newest_of(known, reach, in_memory, deadline)
    proposed = _cut(rows, known, seen, reach)
    if many or not proposed.exact:
        # There is more than can be read. The server cuts, and nothing lies beyond what it sends.
        rows = _cut_by_server(known, cap, seen, in_memory, deadline)
        proposed = _cut(rows, known, seen, len(rows) + 1)
    held = recent.ids_held()
    counts = {row[0]: Counts._make(row[6]) for row in rows if len(row) > 6 and held(row[0])}
    hot = _answer(asked_hot, deadline)
    posts = {post.id for post in chain(proposed.followees, proposed.closest)}
    return proposed, counts | counters(posts - hot.counts.keys() - counts.keys(), deadline.left())


def _cut(rows: Sequence[Sequence[Any]], known: _Viewer, seen: Collection[str], reach: int) -> Cut:
    posts = [_post(row, row[0] in seen) for row in rows]
    cap = settings.CANDIDATES_PER_SOURCE
    return cut(posts, known.followees, known.closest, cap=cap, copies=_COPIES, reach=reach)


def _newest_of(known: _Viewer, reach: int, in_memory: bool, deadline: Deadline) -> list[Any]:
    far, near = sorted((known.followees, known.closest), key=attrgetter("after"))
    parameters = {
        "far": queries.moment(far.after),
        "near": queries.moment(near.after),
        "until": queries.moment(known.until),
        "reach": reach,
    }
    lists = {"authors": far.authors | near.authors, "far_authors": far.authors}
    return _found("by_authors", parameters, lists, in_memory, deadline)


def _cut_by_server(known: _Viewer, cap: int, seen: Collection[str], in_memory: bool, deadline: Deadline) -> list[Any]:
    parameters = {
        "followee_after": queries.moment(known.followees.after),
        "closest_after": queries.moment(known.closest.after),
        "until": queries.moment(known.until),
        "copies": _COPIES,
        "cap": cap,
    }
    lists = {
        "followed_authors": known.followees.authors,
        "closest_authors": known.closest.authors,
        "seen_by_viewer": seen,
    }
    return _found("by_authors_cut", parameters, lists, in_memory, deadline)


def _found(
    name: str,
    parameters: Mapping[str, Any],
    lists: Mapping[str, Collection[str]],
    in_memory: bool,
    deadline: Deadline,
) -> list[Any]:
    """The rows of posts; with the counts that are in memory, if they are to be taken from there."""
    tables = {table: ([("id", "UUID")], [(identifier,) for identifier in ids]) for table, ids in lists.items()}

    def rows(*more: str) -> list[Any]:
        sql = queries.sql(name, *more)
        return clickhouse.query(sql, parameters, timeout=deadline.left(), tables=tables, server_settings=_FEW)

    if in_memory:
        try:
            return rows("recent_counts")
        except Permanent as error:
            recent.missed(error)
    return rows()


def _still_hot(now: datetime, deadline: Deadline) -> _Hot:
    """Without what was deleted since they were read. A deletion has feeds made anew, and the page that is answered
    right from the making is looked through by nobody else."""
    global _gone
    hot, deletions = _hottest(now, deadline), snapshot.deletions()
    of, known, gone = _gone
    if of is not hot or known != deletions:
        found = snapshot.gone([post.id for post in hot.posts])
        gone = found or set()
        if found is not None:
            _gone = hot, deletions, gone
    return replace(hot, posts=[post for post in hot.posts if post.id not in gone]) if gone else hot


def _hottest(now: datetime, deadline: Deadline) -> _Hot:
    """Reading a thousand posts and their counts by id costs more than all the rest, and while the job's list is the
    same they are the same for every viewer. When they must be read again one reader does so, and the others go on."""
    global _hot
    listed = trending.listed("24h")
    kept = _hot
    if kept.serves(listed):
        return kept
    bearable = monotonic() < kept.until + _HOT_SECONDS
    if not _reading_hot.acquire(timeout=0 if bearable else deadline.left()):
        if not bearable:
            raise _too_late()
        return kept
    try:
        if not _hot.serves(listed):
            hot = listed or trending.find("24h", now, deadline.left())
            best = [item.id for item in hot.posts]
            found = posts_of(best, _NOBODY, now, deadline.left())
            posts = [found[identifier] for identifier in best if identifier in found]
            counts = counters(found, deadline.left())
            _hot = _Hot(hot.generated_at, monotonic() + _HOT_SECONDS, posts, counts)
        return _hot
    finally:
        _reading_hot.release()


def _shown_to(hidden: Collection[str], seen: Collection[str], posts: Iterable[Post]) -> list[Post]:
    """Of posts that are the same for everyone, those for one viewer: the hottest that they have not seen first."""
    mine = [post._replace(seen=True) if post.id in seen else post for post in posts if post.author_id not in hidden]
    mine.sort(key=attrgetter("seen"))
    return mine[: settings.CANDIDATES_PER_SOURCE]


def _read(name: str, parameters: Mapping[str, Any], timeout: float) -> list[Post]:
    return [_post(row, row[6]) for row in clickhouse.query(queries.sql(name), parameters, timeout=timeout)]


def _post(row: Sequence[Any], seen: Any) -> Post:
    """Of a row with the time in microseconds: as a whole number it travels faster than as a time."""
    identifier, author, microseconds, text, media, content_key = row[:6]
    created_at = _EPOCH + timedelta(0, 0, microseconds)
    return Post(identifier, author, created_at, text, media, content_key, bool(seen))


def _ask(question: Callable[..., T], *arguments: Any) -> "Future[T]":
    return _threads().submit(question, *arguments)


def _answer(future: "Future[T]", deadline: Deadline) -> T:
    if future.done():
        # In time, whatever kept us from looking.
        return future.result()
    try:
        return future.result(timeout=deadline.left())
    except TookTooLong as error:
        raise _too_late() from error


def _too_late() -> Transient:
    return Transient("ClickHouse took longer than the deadline")
