"""What a change of the community means for feeds already made: whose must be made anew, what must not be shown.

Raised after the rows are in ClickHouse, so that a feed made anew has them. A feed that is not told of a change is made
anew by its age: losing this costs seconds, hence a failure is logged and nothing more. (Whom somebody hid in that
moment may be in what is served while PostgreSQL is down.)
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError
from redis import RedisError

from community import selectors
from ingestion.decoders import BlockRow, Decoded, FollowRow, PostRow
from nova import generations, hidings, redis
from nova.hidings import Hiding

log = structlog.get_logger(__name__)
T = TypeVar("T")

# Posts deleted lately: a sorted set of their ids by the time of the deletion (s since 1970); readers leave them out.
GONE_POSTS = "gone:posts"
# KEYS: that set. ARGV: now, the seconds after which a deletion is forgotten, the posts. None is noted at a time that
# another has, or before it, whatever the clocks of consumers say: by the last time readers know that there is news.
_HIDE = """
local at, newest = tonumber(ARGV[1]), redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if newest then at = math.max(at, tonumber(newest) + 0.000001) end
local time = string.format('%.6f', at)
for place = 3, #ARGV do redis.call('ZADD', KEYS[1], time, ARGV[place]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
# The tables that say which posts are in a feed; likes and comments only say where.
_SHAPING = {PostRow.TABLE, FollowRow.TABLE, BlockRow.TABLE}
# All that is kept of a member's feeds begins so, and the member's id follows. The endings are those of what names the
# newest snapshot, ranked or in order of time, and, behind it, of the lock of who makes one.
_FEEDS = "feed:v1:"
_NEWEST = ("", ":time")
_BEING_MADE = ":lock"
_CHUNK = 1000
# For one batch at most so many times `FANOUT_BOUND` followers are asked for: the changes behind it wait.
_BOUNDS_OF_A_BATCH = 4


@dataclass
class Effects:
    """viewers: members whose own feed changes; authors: those whose followers' feeds change; gone: deleted posts;
    there: new ones, some perhaps once more; hidings: those that began (True) or ended; everyone: a whole table is
    empty; no_posts: that of the posts."""

    viewers: set[UUID] = field(default_factory=set)
    authors: set[UUID] = field(default_factory=set)
    gone: set[UUID] = field(default_factory=set)
    there: set[UUID] = field(default_factory=set)
    hidings: dict[Hiding, bool] = field(default_factory=dict)
    everyone: bool = False
    no_posts: bool = False

    def truncated(self, table: str) -> None:
        """Note that `table` was emptied."""
        self.everyone |= table in _SHAPING
        self.no_posts |= table == PostRow.TABLE

    def add(self, decoded: Decoded) -> None:
        """Note what one change means. A row that a snapshot read, or an edited text, changes no feed's order."""
        if decoded.change.op == "r":
            return
        # The old one first: what is in both goes on.
        for row in (decoded.old, decoded.new):
            if isinstance(row, FollowRow):
                self.viewers.add(row.follower_id)
            elif isinstance(row, BlockRow):
                self._add_block(row, is_there=row is decoded.new)
        if isinstance(decoded.old or decoded.new, PostRow):
            self._add_post(decoded.old, decoded.new)

    def _add_block(self, row: BlockRow, *, is_there: bool) -> None:
        hidden = [Hiding(row.blocker_id, row.blocked_id, row.id)]
        if row.kind == "block":
            hidden.append(Hiding(row.blocked_id, row.blocker_id, row.id))
        for hiding in hidden:
            self.viewers.add(hiding.viewer)
            self.hidings[hiding] = is_there

    def _add_post(self, old: PostRow | None, new: PostRow | None) -> None:
        if old and new and old.author_id == new.author_id:
            return
        self.authors |= {row.author_id for row in (old, new) if row}
        if old and not new:
            self.gone.add(old.id)
            self.there.discard(old.id)
        elif new and not old:
            self.there.add(new.id)
            self.gone.discard(new.id)


def announce(effects: Effects, *, now: datetime) -> None:
    """Tell the readers. Never raises for a store that does not answer: it is logged."""
    try:
        if effects.gone:
            _hide(effects.gone, now.timestamp())
        for posts in _chunks(effects.there):
            _show_again(posts)
        hidings.note(effects.hidings)
        generations.bump(effects.viewers)
        if effects.everyone:
            for readers in _chunks(_readers()):
                generations.bump(readers)
        if effects.no_posts:
            for kept in _chunks(_kept()):
                redis.cache().unlink(*kept)
        for some in _chunks(_followers(effects.authors)):
            generations.bump(_with_feed(some))
    except (RedisError, DatabaseError) as error:
        log.warning("feeds_not_told", error=str(error), viewers=len(effects.viewers), authors=len(effects.authors))


def _hide(posts: Iterable[UUID], now: float) -> None:
    # No snapshot that holds an older one is still alive; the head of the last one, for outages, lives longest.
    longest = max(settings.SNAPSHOT_HARD_SECONDS, settings.LAST_GOOD_SECONDS)
    redis.cache().eval(_HIDE, 1, GONE_POSTS, now, longest, *map(str, posts))


def _show_again(posts: list[UUID]) -> None:
    """An id may come again: an import that deletes and inserts, a client that takes its deletion back. Nearly always it
    is new; and one whose insert is only read again, ahead of its deletion, is no longer in PostgreSQL."""
    times = redis.cache().zmscore(GONE_POSTS, list(map(str, posts)))
    hidden = [post for post, at in zip(posts, times, strict=True) if at is not None]
    if there := selectors.authors_of(hidden) if hidden else {}:
        redis.cache().zrem(GONE_POSTS, *map(str, there))


def _keys() -> Iterator[str]:
    return (key.decode() for key in redis.cache().scan_iter(match=f"{_FEEDS}*", count=_CHUNK))


def _readers() -> Iterator[str]:
    """Whoever has a feed, ranked or in order of time, or for whom one is being made; perhaps more than once."""
    for key in _keys():
        viewer, colon, rest = key.removeprefix(_FEEDS).partition(":")
        if (colon + rest).removesuffix(_BEING_MADE) in _NEWEST:
            yield viewer


def _kept() -> Iterator[str]:
    """The keys of all that is kept of feeds. Whoever makes one at this moment keeps the lock."""
    return (key for key in _keys() if not key.endswith(_BEING_MADE))


def _followers(authors: Collection[UUID]) -> Iterator[UUID]:
    """At most `FANOUT_BOUND` of each author; fewer, but as many of each, when the authors of a batch are very many. So
    many of one question that PostgreSQL has the time."""
    bound = settings.FANOUT_BOUND
    if not authors or not bound:
        return
    most = _BOUNDS_OF_A_BATCH * bound
    each = max(1, min(bound, most // len(authors)))
    groups = _chunks(authors, max(1, min(bound, _CHUNK) // each))
    yield from islice(chain.from_iterable(selectors.followers_of(some, each) for some in groups), most)


def _with_feed(viewers: list[UUID]) -> list[UUID]:
    """Those who have a feed, or for whom one is being made at this moment, perhaps from what was there before."""
    pipeline = redis.cache().pipeline(transaction=False)
    endings = [newest + ending for newest in _NEWEST for ending in ("", _BEING_MADE)]
    for viewer in viewers:
        pipeline.exists(*(f"{_FEEDS}{viewer}{ending}" for ending in endings))
    return [viewer for viewer, there in zip(viewers, pipeline.execute(), strict=True) if there]


def _chunks(all_of_them: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    rest = iter(all_of_them)
    while some := list(islice(rest, size)):
        yield some
