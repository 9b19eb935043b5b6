"""Who must be ranked anew: a counter per viewer, raised by what changes a feed, asked before a snapshot is served.

Ingestion raises (a follow, a block, a new post), ranking asks; neither knows the other. The counters live in the cache
Redis: when it is gone, snapshots are gone with it, so nothing stale can be served by losing them.
"""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings

from nova import redis

_DAY = 86_400


def key(viewer: UUID | str) -> str:
    """The Redis key of a viewer's generation; its value is a decimal number, absent means 0."""
    return f"gen:v1:{viewer}"


def bump(viewers: Iterable[UUID | str]) -> int:
    """Raise the generation of each viewer, in one round trip; how many were raised. Raises `redis.RedisError`."""
    pipeline = redis.cache().pipeline(transaction=False)
    seconds, count = _seconds(), 0
    for viewer in set(viewers):
        pipeline.incr(key(viewer))
        pipeline.expire(key(viewer), seconds)
        count += 1
    if count:
        pipeline.execute()
    return count


def _seconds() -> int:
    """Longer than any snapshot lives, or a counter that starts again at 0 could make an old snapshot look fresh."""
    return max(6 * _DAY, settings.LAST_GOOD_SECONDS, settings.SNAPSHOT_HARD_SECONDS) + _DAY


def of(viewer: UUID | str) -> int:
    """A viewer's present generation. Raises `redis.RedisError`."""
    return int(redis.cache().get(key(viewer)) or 0)
