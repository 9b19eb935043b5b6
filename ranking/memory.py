"""What one reader's feeds may take of Redis: of what explains an entry only what cannot be worked out again, and of the
snapshots only those used last.

A reader whose feed changes all the time, or who asks often, would else have a snapshot of a third of a megabyte for
each minute of the hard TTL. Who pages in one that was dropped goes on as when it has expired: by its ids, of which more
are kept.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings

from ranking.entries import Entry
from ranking.explanation import Basis, Explanation
from ranking.scoring import Counts, Weights

# The ending of the key of the list of a viewer's snapshots.
KEPT = "kept"
# The ids of a snapshot take a fortieth of it.
_IDS_TIMES = 4

# KEYS: the list of the viewer's snapshots: first those of which nobody was given a page, the one used last at its end.
# Those at its end are kept. What has just left them is either the one before them or, put there by `FIRST`, the first.
# ARGV: prefix of the snapshots, this one, how many are kept, how many whose ids are, milliseconds to live.
_BOUND = """
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if redis.call('LLEN', KEYS[1]) > tonumber(ARGV[3]) then
  for _, place in ipairs({0, -ARGV[3] - 1}) do
    local dropped = redis.call('LINDEX', KEYS[1], place)
    redis.call('UNLINK', ARGV[1] .. dropped, ARGV[1] .. dropped .. ':inputs')
  end
end
if redis.call('LLEN', KEYS[1]) > tonumber(ARGV[4]) then
  redis.call('UNLINK', ARGV[1] .. redis.call('LPOP', KEYS[1]) .. ':ids')
end
"""

# For the script that reads a page of a named snapshot (`prefix`, `snapshot`): it is used, so others are dropped first.
# Put there before it is taken away: a list that was empty in between would have lost its time to live. One that is not
# in the list stays out of it.
TOUCH = f"""
redis.call('RPUSH', prefix .. '{KEPT}', snapshot)
redis.call('LREM', prefix .. '{KEPT}', 1, snapshot)
"""

# For the script that sets the pointer: of `before`, the newest until now, nobody was given a page. KEYS[6] is the list.
FIRST = """
redis.call('LPUSH', KEYS[6], before)
redis.call('LREM', KEYS[6], -1, before)
"""


def bound(pipeline: Any, prefix: str, snapshot: str, milliseconds: int) -> None:
    """Note that a snapshot was kept, and drop the one that is now one too many. prefix: of the viewer's keys."""
    most = settings.SNAPSHOTS_KEPT
    pipeline.eval(_BOUND, 1, f"{prefix}{KEPT}", prefix, snapshot, most, _IDS_TIMES * most, milliseconds)


def packed(entries: Sequence[Entry]) -> bytes:
    """What explains all entries, in little room: once what all have in common, then what each has for itself."""
    whys = [entry.why for entry in entries]
    basis = next((why.basis for why in whys if why), None)
    common = basis and (basis.at, basis.weights.as_dict(), basis.affinity_days, basis.is_scored)
    rows = [why and (why.sources, why.moved_by, why.interactions, *why.counts) for why in whys]
    return zlib.compress(orjson.dumps((common, rows)), 1)


def explained(entries: Sequence[Entry], positions: Sequence[int], data: bytes | None) -> list[Entry]:
    """Entries with what explains them. positions: of each in its snapshot, from 1; data: what `packed` made of the
    whole snapshot, nothing when it is gone."""
    if not data:
        return list(entries)
    common, rows = orjson.loads(zlib.decompress(data))
    if not common:
        return list(entries)
    at, weights, *others = common
    basis = Basis(datetime.fromisoformat(at), Weights(**weights), *others)

    def why(entry: Entry, row: Sequence[Any] | None) -> Explanation | None:
        if row is None:
            return None
        sources, moved_by, interactions, *counts = row
        return Explanation(tuple(sources), moved_by, interactions, Counts(*counts), entry.created_at, basis)

    return [
        entry._replace(why=why(entry, rows[position - 1])) for entry, position in zip(entries, positions, strict=True)
    ]
