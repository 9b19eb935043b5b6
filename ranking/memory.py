"""What one reader's feeds may take of Redis: explanations are compressed, and only the snapshots used last are kept.

A reader whose feed changes all the time, or who asks often, would else have a snapshot of half a megabyte for each
minute of the hard TTL. Who pages in one that was dropped goes on as when it has expired: by its ids, of which more are
kept.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import orjson
from django.conf import settings

from ranking.entries import Entry
from ranking.explanation import Explanation

# The ids of a snapshot take a fortieth of it.
_IDS_TIMES = 4
# How many fields of an explanation are the same for a whole snapshot.
_COMMON = 2

# KEYS: the list of the viewer's snapshots, the one used last at its end. ARGV: prefix of the snapshots, this one, how
# many are kept, how many whose ids are, milliseconds to live.
_BOUND = """
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local dropped = redis.call('LINDEX', KEYS[1], -ARGV[3] - 1)
if dropped then redis.call('UNLINK', ARGV[1] .. dropped, ARGV[1] .. dropped .. ':explained') end
if redis.call('LLEN', KEYS[1]) > tonumber(ARGV[4]) then
  redis.call('UNLINK', ARGV[1] .. redis.call('LPOP', KEYS[1]) .. ':ids')
end
"""

# For the script that reads a page of a named snapshot (`prefix`, `snapshot`): it is used, so others are dropped first.
TOUCH = """
if redis.call('LREM', prefix .. 'kept', 0, snapshot) > 0 then redis.call('RPUSH', prefix .. 'kept', snapshot) end
"""


def bound(pipeline: Any, prefix: str, snapshot: str, milliseconds: int) -> None:
    """Note that a snapshot was kept, and drop the one that is now one too many. prefix: of the viewer's keys."""
    most = settings.SNAPSHOTS_KEPT
    pipeline.eval(_BOUND, 1, f"{prefix}kept", prefix, snapshot, most, _IDS_TIMES * most, milliseconds)


def packed(entries: Sequence[Entry]) -> bytes:
    """The explanations of all entries in little room: once what all have in common, then what each has for itself."""
    whys = [entry.why for entry in entries]
    common = next((why[-_COMMON:] for why in whys if why), ())
    return zlib.compress(orjson.dumps((common, [why and why[:-_COMMON] for why in whys])), 1)


def unpacked(data: bytes | None) -> list[Explanation | None]:
    """The explanations that `packed` wrote, None for an entry that had none; nothing when they are gone."""
    if not data:
        return []
    common, whys = orjson.loads(zlib.decompress(data))
    return [why and Explanation(*why, *common) for why in whys]
