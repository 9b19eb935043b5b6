"""What could stand in a viewer's feed: three sources and what is known of them, asked of ClickHouse in one deadline.

Each source is ordered before it is cut, posts not yet seen first, so that filtering never leaves a page short. Own
posts, deleted posts, and authors blocked either way or muted never come out of here.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
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
# A deleted post is left out by every reader meanwhile.
_HOT_SECONDS = 10.0
# When the list was made, until when its posts are believed, and the posts.
_hot: tuple[datetime | None, float, list[Post]] = (None, 0.0, [])


@dataclass(frozen=True, slots=True)
class Gathered:
    """The candidates of a viewer, the counts by post id, and the viewer's interactions by author id."""

    candidates: list[Candidate]
    counts: Mapping[str, Counts]
    interactions: Mapping[str, int]


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
    return ThreadPoolExecutor(settings.CLICKHOUSE_POOL, thread_name_prefix="candidates")


def gather(viewer: str, now: datetime) -> Gathered:
    """Everything that ranking needs to know of a viewer. Raises a `nova.errors` class when ClickHouse does not answer
    in full within `settings.CLICKHOUSE_DEADLINE` seconds."""
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    common = {
        "viewer": viewer,
        "seen_after": seen_after(now),
        "cap": settings.CANDIDATES_PER_SOURCE,
    }
    since = (now - timedelta(days=settings.AFFINITY_DAYS)).date()
    sources: dict[str, Callable[[], list[Post]]] = {
        FOLLOWEES: lambda: _posts(
            "followees", {**common, "after": queries.moment(now - timedelta(hours=settings.FOLLOWEE_HOURS))}, deadline
        ),
        TRENDING: lambda: _trending(common, now, deadline),
        AFFINITY: lambda: _posts(
            "affinity",
            {
                **common,
                "since": since,
                "authors": settings.AFFINITY_AUTHORS,
                "after": queries.moment(now - timedelta(hours=settings.AFFINITY_POST_HOURS)),
            },
            deadline,
        ),
    }
    asked = {name: _threads().submit(source) for name, source in sources.items()}
    known: Future[Mapping[str, int]] = _threads().submit(_interactions, viewer, since, deadline)
    proposals = {name: _answer(future, deadline) for name, future in asked.items()}
    if not any(proposals.values()):
        proposals[NEWEST] = _posts("newest", common, deadline)
    for name, posts in proposals.items():
        metrics.FEED_CANDIDATES.labels(name).observe(len(posts))
    candidates = merge(proposals)
    counts = counters((candidate.post.id for candidate in candidates), deadline.left())
    return Gathered(candidates, counts, _answer(known, deadline))


def counters(posts: Iterable[str], timeout: float) -> dict[str, Counts]:
    """The counts of posts by id, one query for all; a post without any is absent. Raises as `clickhouse.query` does."""
    ids = list(posts)
    if not ids:
        return {}
    rows = clickhouse.query(queries.sql("counters"), {"ids": ids}, timeout=timeout)
    return {str(identifier): Counts(*numbers) for identifier, *numbers in rows}


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


def _trending(common: Mapping[str, Any], now: datetime, deadline: Deadline) -> list[Post]:
    posts = _hot_posts(common["cap"], now, deadline)
    ids = [post.id for post in posts]
    if not ids:
        return []
    parameters = {"viewer": common["viewer"], "seen_after": common["seen_after"], "ids": ids}
    rows = clickhouse.query(queries.sql("sight"), parameters, timeout=deadline.left())
    hidden = {common["viewer"], *(str(author) for is_hidden, author in rows if is_hidden)}
    sight = {str(post) for is_hidden, post in rows if not is_hidden}
    return [replace(post, seen=True) if post.id in sight else post for post in posts if post.author_id not in hidden]


def _hot_posts(cap: int, now: datetime, deadline: Deadline) -> list[Post]:
    """The hottest posts of the day as anyone may see them. Reading five hundred posts by id costs more than all the
    rest, and while the job's list is the same they are the same for every viewer."""
    global _hot
    hot = trending.hot("24h", now, deadline.left())
    listed, until, posts = _hot
    if listed != hot.generated_at or monotonic() >= until:
        best = [item.id for item in hot.posts[:cap]]
        found = posts_of(best, _NOBODY, now, deadline.left())
        posts = [found[identifier] for identifier in best if identifier in found]
        _hot = hot.generated_at, monotonic() + _HOT_SECONDS, posts
    return posts


def forget() -> None:
    """Read the hottest posts again at the next call."""
    global _hot
    _hot = (None, 0.0, [])


def _interactions(viewer: str, since: date, deadline: Deadline) -> Mapping[str, int]:
    rows = clickhouse.query(queries.sql("interactions"), {"viewer": viewer, "since": since}, timeout=deadline.left())
    return {str(author): int(number) for author, number in rows}


def _posts(name: str, parameters: Mapping[str, Any], deadline: Deadline) -> list[Post]:
    return _read(name, parameters, deadline.left())


def _read(name: str, parameters: Mapping[str, Any], timeout: float) -> list[Post]:
    rows = clickhouse.query(queries.sql(name), parameters, timeout=timeout)
    return [
        Post(str(identifier), str(author), created_at, text, media, content_key, bool(seen))
        for identifier, author, created_at, text, media, content_key, seen in rows
    ]


def _answer(future: "Future[T]", deadline: Deadline) -> T:
    try:
        return future.result(timeout=deadline.left())
    except TookTooLong as error:
        raise Transient("ClickHouse took longer than the deadline") from error
