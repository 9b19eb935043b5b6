"""The feeds kept in Redis: immutable snapshots, and a pointer to each viewer's newest.

    feed:v1:{viewer}                  pointer: "snapshot generation started"; …:time for the feed in order of time
    feed:v1:{viewer}:head             the beginning of the newest, as it is sent (head.py); …:time:head likewise
    feed:v1:{viewer}:{snapshot}       list: first what is known of the snapshot (JSON), then its entries, packed
    feed:v1:{viewer}:{snapshot}:inputs  what each entry's place was worked out from, compressed (memory.py)
    feed:v1:{viewer}:{snapshot}:ids   the ids in order, kept longer: what a reader was shown of a snapshot that is gone
    feed:v1:{viewer}:last             the head of the last snapshot made, for outages
    feed:v1:{viewer}:kept             list: the snapshots that are there; whichever is first goes first (memory.py)

A read is one round trip. Without Redis nothing is found and nothing is kept; nothing here raises for that.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache as once
from random import uniform
from typing import Any, Self

import orjson
from django.conf import settings
from redis.commands.core import Script

from nova import generations
from nova.redis import Call
from ranking import cache, entries, head, memory
from ranking.about import About
from ranking.entries import Entry
from ranking.scoring import Weights

# Posts deleted lately: a sorted set of ids that change data capture writes, whose snapshots still hold them.
GONE = "gone:posts"
LAST_GOOD = "last"
_LAST_GOOD_POSTS = 50
# A feed in order of time costs little and knows no generations while change data capture stands still.
_TIME_SOFT_SECONDS = 10
_IDS_TTLS = 4
TIME = "time"
# The milliseconds at which it was made, and chance.
_ID = re.compile("[0-9a-f]{20}")

# KEYS: pointer, generation, gone, head. ARGV: prefix of the snapshots, snapshot or "", position, limit, "1" to explain.
# Returns the viewer's generation and, when the snapshot is there, what is known of it, how many entries it has, the
# position after the last one read, the entries, their positions and all explanations. Deleted posts are left out, the
# room is filled.
_READ = (
    """
local generation = redis.call('GET', KEYS[2]) or '0'
local snapshot, made_in = ARGV[2], ''
if snapshot == '' then
  local pointer = redis.call('GET', KEYS[1])
  if not pointer then return {generation} end
  snapshot, made_in = string.match(pointer, '^(%S+) (%d+)')
end
local are_gone = redis.call('EXISTS', KEYS[3]) == 1
local prefix = ARGV[1]
local list = prefix .. snapshot
local about = redis.call('LINDEX', list, 0)
if not about then return {generation} end
local length = redis.call('LLEN', list) - 1
local position, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[2] ~= '' then
"""
    + memory.TOUCH
    + """
elseif limit > 0 and made_in == generation then
"""
    + head.GIVEN
    + """
end
local read, positions = {}, {}
while #read < limit and position < length do
  local last = math.min(length, position + limit - #read)
  local chunk = redis.call('LRANGE', list, position + 1, last)
  for index, entry in ipairs(chunk) do
    if not (are_gone and redis.call('ZSCORE', KEYS[3], string.sub(entry, 36, 71))) then
      read[#read + 1] = entry
      positions[#positions + 1] = position + index
    end
  end
  position = last
end
local whys = ARGV[5] == '1' and redis.call('GET', list .. ':inputs') or ''
return {generation, about, length, position, read, positions, whys}
"""
)

# KEYS: pointer, generation, head, the snapshot, the last good one, the list of the viewer's snapshots. ARGV: snapshot,
# its generation, when it was started, milliseconds to live, its head (three), milliseconds the last good one lives, how
# many posts it has, "1" when a page is given to somebody.
# A snapshot of an older generation than the pointer's, or begun earlier in the same one, changes nothing. Nor does such
# a one replace the last good one, which may have been made by another algorithm, behind another pointer.
_POINT = (
    """
local pointer = redis.call('GET', KEYS[1])
local is_behind = ARGV[2] ~= (redis.call('GET', KEYS[2]) or '0')
if pointer and is_behind then
  local generation = string.match(pointer, '^%S+ (%d+)')
  if tonumber(generation) > tonumber(ARGV[2]) then return 0 end
elseif pointer then
  local generation, started = string.match(pointer, '^%S+ (%d+) (%d+)')
  if generation == ARGV[2] and tonumber(started) > tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
"""
    + head.WRITE
    + """
if ARGV[10] == '1' then redis.call('HSET', KEYS[3], 'given', '1') end
local best = redis.call('LINDEX', KEYS[5], 0)
if best then
  best = cjson.decode(best)
  if is_behind and best.generation > tonumber(ARGV[2]) then return 1 end
  local is_older = math.floor(best.started * 1000) > tonumber(ARGV[3])
  if best.generation == tonumber(ARGV[2]) and is_older then return 1 end
end
redis.call('DEL', KEYS[5])
redis.call('RPUSH', KEYS[5], unpack(redis.call('LRANGE', KEYS[4], 0, ARGV[9])))
redis.call('PEXPIRE', KEYS[5], ARGV[8])
redis.call('SET', KEYS[5] .. ':inputs', redis.call('GET', KEYS[4] .. ':inputs'), 'PX', ARGV[8])
return 1
"""
)

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Slice:
    """Some entries of a snapshot. `after`: the position that follows them; `length`: of the whole snapshot.
    `generation`: the viewer's at the time of reading."""

    about: About
    generation: int
    entries: list[Entry]
    after: int
    length: int

    @property
    def has_more(self) -> bool:
        return self.after < self.length


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such snapshot, or no Redis. `generation`: the viewer's, 0 without Redis."""

    generation: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A feed as it was made."""

    about: About
    entries: list[Entry]

    @classmethod
    def made(cls, found: Sequence[Entry], *, algorithm: str, generation: int, weights: Weights, now: datetime) -> Self:
        """A new one, with an id that holds its time."""
        soft = settings.SNAPSHOT_SOFT_SECONDS if algorithm != TIME else _TIME_SOFT_SECONDS
        started = now.timestamp()
        about = About(
            snapshot=f"{round(started * 1000):012x}{secrets.token_hex(4)}",
            algorithm=algorithm,
            generation=generation,
            generated_at=entries.rfc3339(now),
            started=started,
            # Feeds made together must not all expire together.
            fresh_until=started + min(soft, settings.SNAPSHOT_SOFT_SECONDS) * uniform(0.9, 1.1),
            version=weights.version,
            experiment=weights.experiment,
        )
        return cls(about, list(found))

    def cut(self, position: int, limit: int) -> Slice:
        after = min(len(self.entries), position + limit)
        return Slice(self.about, self.about.generation, self.entries[position:after], after, len(self.entries))


def pointer(viewer: str, algorithm: str) -> str:
    """The Redis key that names a viewer's newest snapshot of an algorithm."""
    return f"feed:v1:{viewer}:{TIME}" if algorithm == TIME else f"feed:v1:{viewer}"


def key(viewer: str, snapshot: str) -> str:
    """The Redis key of a snapshot."""
    return f"feed:v1:{viewer}:{snapshot}"


def made_at(snapshot: str) -> float | None:
    """The Unix seconds in a snapshot's id; None for a text that is no such id."""
    return int(snapshot[:12], 16) / 1000 if _ID.fullmatch(snapshot) else None


def read(
    viewer: str, *, algorithm: str, snapshot: str = "", position: int = 0, limit: int, explain: bool = False
) -> Slice | Missing:
    """Entries of a snapshot, or of the newest one of `algorithm`."""
    newest = pointer(viewer, algorithm)
    keys = [newest, generations.key(viewer), GONE, head.key(newest)]
    arguments: list[str | int] = [key(viewer, ""), snapshot, position, limit, "1" if explain else "0"]
    found: Any = cache.ask(lambda redis: _script(_READ)(keys, arguments, client=redis), None)
    if found is None:
        return Missing(0)
    generation = int(found[0])
    if len(found) == 1:
        return Missing(generation)
    _, about, length, after, packed, positions, whys = found
    explained = memory.explained([Entry(one) for one in packed], positions, whys)
    return Slice(About(**orjson.loads(about)), generation, explained, after, length)


def reading_head(viewer: str, algorithm: str, known: head.Head | None) -> Call:
    """The call of Redis' that reads the newest snapshot's head, for `head.read`. known: what was read before."""
    return head.reading(pointer(viewer, algorithm), generations.key(viewer), GONE, known)


def keep(viewer: str, made: Snapshot, *, given: bool = False) -> bool:
    """Keep a snapshot as the viewer's newest; whether the pointer now names it, which a newer one prevents. given: a
    page of it is given to somebody."""
    return bool(cache.ask(lambda redis: _keep_newest(redis, viewer, made, given), False))


def keep_for_pages(viewer: str, made: Snapshot, shown: Sequence[str]) -> None:
    """Keep a snapshot for the next pages of one who was shown these posts before, and for nobody else."""

    def keep_it(redis: Any) -> None:
        pipeline = redis.pipeline()
        _write(pipeline, viewer, made, shown)
        _bound(pipeline, viewer, made)
        pipeline.execute()

    cache.ask(keep_it, None)


def _write(pipeline: Any, viewer: str, made: Snapshot, shown: Sequence[str] = ()) -> None:
    name = key(viewer, made.about.snapshot)
    hard = settings.SNAPSHOT_HARD_SECONDS
    pipeline.rpush(name, orjson.dumps(asdict(made.about)), *(entry.packed for entry in made.entries))
    pipeline.expire(name, hard)
    pipeline.set(f"{name}:inputs", memory.packed(made.entries), ex=hard)
    ids = entries.bytes_of_ids(shown) + entries.bytes_of_ids([entry.id for entry in made.entries])
    pipeline.set(f"{name}:ids", ids, ex=_IDS_TTLS * hard)


def _bound(pipeline: Any, viewer: str, made: Snapshot) -> None:
    milliseconds = 1000 * _IDS_TTLS * settings.SNAPSHOT_HARD_SECONDS
    memory.bound(pipeline, key(viewer, ""), made.about.snapshot, milliseconds)


def _keep_newest(redis: Any, viewer: str, made: Snapshot, given: bool) -> bool:
    about, newest = made.about, pointer(viewer, made.about.algorithm)
    pipeline = redis.pipeline()
    _write(pipeline, viewer, made)
    mine = (key(viewer, name) for name in (about.snapshot, LAST_GOOD, memory.KEPT))
    keys = [newest, generations.key(viewer), head.key(newest), *mine]
    arguments = about.snapshot, about.generation, int(about.started * 1000), 1000 * settings.SNAPSHOT_HARD_SECONDS
    rest = 1000 * settings.LAST_GOOD_SECONDS, _LAST_GOOD_POSTS, int(given)
    pipeline.eval(_POINT, len(keys), *keys, *arguments, *head.packed(about, made.entries), *rest)
    # Only now, since the pointer tells which was the newest before, and whether that may go first.
    _bound(pipeline, viewer, made)
    return bool(pipeline.execute()[-2])


def ids(viewer: str, snapshot: str) -> list[str] | None:
    """The ids of a snapshot in order, those shown before it first; None when nobody remembers them."""
    found = cache.ask(lambda redis: redis.get(f"{key(viewer, snapshot)}:ids"), None)
    return None if found is None else entries.ids_of_bytes(found)


def deletions() -> str:
    """The state of what was deleted lately: while it is the same, so are the deleted posts. "" without Redis."""

    def state(redis: Any) -> str:
        pipeline = redis.pipeline(transaction=False)
        pipeline.zrange(GONE, 0, 0, desc=True, withscores=True)
        pipeline.zcard(GONE)
        return str(pipeline.execute())

    return cache.ask(state, "")


def gone(posts: Sequence[str]) -> set[str] | None:
    """Those of the posts that were deleted lately; None without Redis, when nobody knows."""
    if not posts:
        return set()
    times: Sequence[Any] | None = cache.ask(lambda redis: redis.zmscore(GONE, posts), None)
    return None if times is None else {post for post, at in zip(posts, times, strict=True) if at is not None}


def lock(viewer: str, algorithm: str, seconds: float) -> str | None:
    """Become the one who makes the viewer's snapshot; a token to `unlock` with, "" without Redis, None: another is."""
    token = secrets.token_hex(8)
    name = f"{pointer(viewer, algorithm)}:lock"
    taken: Any = cache.ask(lambda redis: redis.set(name, token, nx=True, px=int(seconds * 1000)) or "taken", "")
    return None if taken == "taken" else token if taken else ""


def unlock(viewer: str, algorithm: str, token: str) -> None:
    if token:
        name = f"{pointer(viewer, algorithm)}:lock"
        cache.ask(lambda redis: redis.eval(_UNLOCK, 1, name, token), None)


@once
def _script(text: str) -> Script:
    """A script known by its hash: only the hash travels, unless the server has forgotten it."""
    return cache.redis().register_script(text)
