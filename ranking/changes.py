"""What became of feeds since somebody looked: whether anything may have changed, and how many posts are new."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from nova import generations, redis
from ranking import snapshot
from ranking.about import About
from ranking.entries import Entry
from ranking.snapshot import Missing

_VIEWERS_AT_ONCE = 500
# A post that was made so long before a snapshot may have reached ClickHouse after it.
_UNDER_WAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Changes:
    """The snapshot that a viewer's feed is now, and how many posts it has that an earlier one had not."""

    snapshot: str
    newer: int


def marks(viewers: Sequence[UUID]) -> list[bytes]:
    """For each viewer a text that changes whenever their feed may have: it was invalidated, or made anew.

    One round trip for all of them. Raises `redis.RedisError`.
    """
    pipeline = redis.cache().pipeline(transaction=False)
    for start in range(0, len(viewers), _VIEWERS_AT_ONCE):
        pipeline.mget([key for viewer in viewers[start : start + _VIEWERS_AT_ONCE] for key in _keys(str(viewer))])
    values = [value or b"" for some in pipeline.execute() for value in some]
    return [b" ".join(values[start : start + 3]) for start in range(0, len(values), 3)]


def _keys(viewer: str) -> list[str]:
    pointers = [snapshot.pointer(viewer, algorithm) for algorithm in ("", snapshot.TIME)]
    return [generations.key(viewer), *pointers]


def is_snapshot(text: str) -> bool:
    """Whether a text is a snapshot's id; that snapshot may be long gone."""
    return snapshot.made_at(text) is not None


def count_newer(viewer: str, since: str, about: About, read: Callable[[], Sequence[Entry]]) -> int:
    """How many posts the viewer's present snapshot (`about`) has that `since` had not; `read` gives all of it, for what
    its ids do not tell.

    A snapshot that was full had more posts behind it, which move up when others sink because they were seen: then only
    what was made since is new. So it is when the way of making the feed has changed.
    """
    if about.snapshot == since:
        return 0
    present = snapshot.ids(viewer, about.snapshot)
    if present is None:
        present = [entry.id for entry in read()]
    known = snapshot.ids(viewer, since)
    made = snapshot.made_at(since) or 0.0
    if known is None or _made_otherwise(viewer, since, about):
        return _made_after(made, present, read)
    others = set(present).difference(known)
    if len(known) < settings.SNAPSHOT_POSTS:
        return len(others)
    return _made_after(made - _UNDER_WAY_SECONDS, others, read)


def _made_otherwise(viewer: str, since: str, about: About) -> bool:
    earlier = snapshot.read(viewer, algorithm=about.algorithm, snapshot=since, limit=0)
    return not isinstance(earlier, Missing) and earlier.about.algorithm != about.algorithm


def _made_after(moment: float, posts: Collection[str], read: Callable[[], Sequence[Entry]]) -> int:
    """How many of the posts are younger than a moment (Unix seconds): by the time inside their UUIDv7, or by what is
    kept of them when a client chose an id of another kind."""
    times = {post: (UUID(post).int >> 80) / 1000 for post in posts if UUID(post).version == 7}
    if len(times) < len(posts):
        times = {entry.id: entry.created_at.timestamp() for entry in read()}
    return sum(times.get(post, 0.0) > moment for post in posts)
