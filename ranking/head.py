"""The beginning of a viewer's newest snapshot as it is sent: its posts lie joined beside the list, so that a first page
is read as one piece instead of fifty.

A hash at `key(pointer)`: `snapshot` that it belongs to; `about`: what is known of it and where each post ends (JSON);
`keys`: the sort keys of the posts; `posts`: their JSON with commas between; `checked`: the state of the deletions when
none of these posts was among them; `given`: there when somebody asked for a page of the snapshot while it was current.
It is written with the pointer and lives as long; without it the list is read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache as once
from itertools import accumulate
from typing import Any

import orjson
from redis.commands.core import Script

from nova.redis import Call
from ranking import cache, memory
from ranking.about import About
from ranking.cursor import prints
from ranking.entries import Entry

# For the script that reads a page of the newest snapshot: KEYS[4] is the hash, perhaps of another.
GIVEN = """
  if redis.call('HGET', KEYS[4], 'snapshot') == snapshot then redis.call('HSET', KEYS[4], 'given', '1') end
"""
# The usual page and what fills the places of posts that were deleted since.
POSTS = 60
# The length of a sort key; the post's id is its end, from here on.
_KEY, _ID = 71, 35

# For the script that sets the pointer: KEYS[3] is the hash; ARGV[4] milliseconds to live, ARGV[5..7] as `packed`. The
# snapshot that it belonged to is the first that may go (memory.py), unless somebody was given a page of it.
WRITE = f"""
local before, given = unpack(redis.call('HMGET', KEYS[3], 'snapshot', 'given'))
if before and not given then
  {memory.FIRST}
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'snapshot', ARGV[1], 'about', ARGV[5], 'keys', ARGV[6], 'posts', ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
"""

# KEYS: pointer, generation, deleted posts, head. ARGV: the state that is known, "1" when nothing was left out in it.
# Returns the generation alone when there is no head; with the state (the snapshot and the deletions known of) when what
# is known still holds; else also about, keys, posts, and the places of those that were deleted.
# One flat table: Redis sends every table within a table on its own, which wakes the reader each time.
_READ = """
local generation = redis.call('GET', KEYS[2]) or '0'
local pointer = redis.call('GET', KEYS[1])
if not pointer then return {generation} end
local snapshot, made_in = string.match(pointer, '^(%S+) (%d+)')
local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
local gone = newest and newest .. ' ' .. redis.call('ZCARD', KEYS[3]) or ''
local state = snapshot .. ' ' .. gone
if ARGV[1] == state then return {generation, state} end
local head = redis.call('HMGET', KEYS[4], 'snapshot', 'checked', 'keys', 'given')
if head[1] ~= snapshot then return {generation} end
if not head[4] and made_in == generation then redis.call('HSET', KEYS[4], 'given', '1') end
local out = {}
if newest and head[2] ~= gone and head[3] ~= '' then
  local ids = {}
  for at = 36, #head[3], 71 do ids[#ids + 1] = string.sub(head[3], at, at + 35) end
  local found = redis.call('ZMSCORE', KEYS[3], unpack(ids))
  for place = 1, #ids do
    if found[place] then out[#out + 1] = place end
  end
  if #out == 0 then redis.call('HSET', KEYS[4], 'checked', gone) end
end
if #out == 0 and ARGV[2] == '1' and string.find(ARGV[1], snapshot .. ' ', 1, true) == 1 then
  return {generation, state}
end
local sent = redis.call('HMGET', KEYS[4], 'about', 'posts')
return {generation, state, sent[1], head[3], sent[2], table.concat(out, ' ')}
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The first page of a snapshot. posts: JSON values with commas between them; last: the sort key of the last one;
    shown: `cursor.prints` of them; after: the position that follows; length: of the whole snapshot; generation: the
    viewer's at the time of reading; state: while Redis names the same, the posts are the same; whole: no post was left
    out."""

    about: About
    generation: int
    posts: bytes
    last: str
    shown: bytes
    after: int
    length: int
    state: bytes
    whole: bool

    @property
    def has_more(self) -> bool:
        return self.after < self.length and bool(self.posts)


def key(pointer: str) -> str:
    """The Redis key of the head that belongs to a pointer."""
    return f"{pointer}:head"


def packed(about: About, entries: Sequence[Entry]) -> tuple[bytes, bytes, bytes]:
    """The fields `about`, `keys` and `posts` of a snapshot's head."""
    items = [entry.item for entry in entries[:POSTS]]
    # A comma stands before each but the first.
    ends = [end - 1 for end in accumulate(len(item) + 1 for item in items)]
    keys = "".join(entry.key for entry in entries[:POSTS])
    return orjson.dumps({"about": asdict(about), "ends": ends, "length": len(entries)}), keys.encode(), b",".join(items)


def reading(pointer: str, generation: str, gone: str, known: Head | None) -> Call:
    """The call of Redis' that reads a head, for `read`; its posts need not travel again while they are those of
    `known`. pointer, generation, gone: keys."""
    said = (known.state, "1" if known.whole else "0") if known else ("", "0")
    return Call(_script(), [pointer, generation, gone, key(pointer)], said)


def read(answer: Sequence[Any], known: Head | None, limit: int) -> Head | None:
    """What the answer to `reading` says, as a page of at most `limit` posts; None when there is no head, or when it is
    too short for the page. `known` must be of the same limit."""
    if len(answer) == 1:
        return None
    generation, state = int(answer[0]), answer[1]
    if len(answer) == 2:
        if known is None or (known.generation, known.state) == (generation, state):
            return known
        return replace(known, generation=generation, state=state)
    _, _, about, keys, posts, out = answer
    said = orjson.loads(about)
    ends, length = said["ends"], said["length"]
    left_out = {int(place) - 1 for place in out.split()}
    all_places = range(len(ends))
    places = (all_places if not left_out else [place for place in all_places if place not in left_out])[:limit]
    if len(places) < limit and len(ends) < length:
        return None
    if left_out:
        shown = b",".join([posts[ends[place - 1] + 1 if place else 0 : ends[place]] for place in places])
    else:
        shown = posts[: ends[places[-1]]] if places else b""
    after = places[-1] + 1 if len(places) == limit else length
    last = keys[_KEY * places[-1] : _KEY * (places[-1] + 1)].decode() if places else ""
    had = prints(keys[_KEY * place + _ID : _KEY * (place + 1)].decode() for place in places)
    return Head(About(**said["about"]), generation, shown, last, had, after, length, state, not left_out)


@once
def _script() -> Script:
    return cache.redis().register_script(_READ)
