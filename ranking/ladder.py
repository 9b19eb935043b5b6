"""The beginning of a feed, by the highest step of the ladder that holds.

A snapshot in Redis, else ranked from ClickHouse behind its breaker, else in order of time from PostgreSQL, else the
last good snapshot, marked stale. Only when all of it fails is there none.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError

from nova.errors import NovaError, Transient
from ranking import building, snapshot
from ranking.building import CH, TIME
from ranking.snapshot import Missing, Slice

# No snapshot is longer.
ALL = 1_000_000


class Unavailable(Transient):
    """Neither Redis, nor ClickHouse, nor PostgreSQL could give a feed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a snapshot and how it was come by. cache: hit, stale (soft age over, rebuilt meanwhile) or miss."""

    part: Slice
    cache: str
    last_good: bool = False
    replaced: bool = False


def first(viewer: str, algo: str, limit: int, explain: bool, now: datetime) -> Found:
    """The first `limit` entries of the viewer's feed. algo: the path to begin with. Raises `Unavailable`."""
    for algorithm in (CH, TIME) if algo == CH else (TIME,):
        try:
            part, how = building.obtain(viewer, algorithm, limit=limit, explain=explain, now=now)
            return Found(part, how)
        except (NovaError, DatabaseError):
            continue
    part_or_none = snapshot.read(viewer, algorithm=algo, snapshot=snapshot.LAST_GOOD, limit=limit, explain=explain)
    if isinstance(part_or_none, Missing):
        raise Unavailable("no feed can be made at the moment")
    return Found(part_or_none, building.STALE, last_good=True)
