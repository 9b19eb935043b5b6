"""How many streams a viewer holds, over all processes: places in Redis, each with an end that its process puts off.

The places of a killed process end by themselves. All functions block and raise `redis.RedisError`.
"""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings

from nova import redis

# KEYS: the viewer's places, a sorted set by the milliseconds at which they end. ARGV: place, milliseconds to hold it,
# how many there may be. Returns 1 when there was room.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
# The same, whether or not there is room: a Redis that was emptied learns again what is held.
_HOLD = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


def _key(viewer: UUID) -> str:
    return f"streams:v1:{viewer}"


def _milliseconds() -> int:
    return int(settings.STREAM_LEASE_SECONDS * 1000)


def take(viewer: UUID, place: str) -> bool:
    """Take one of the viewer's `STREAMS_PER_VIEWER` places; whether there was one."""
    limit = settings.STREAMS_PER_VIEWER
    return bool(redis.cache().eval(_TAKE, 1, _key(viewer), place, _milliseconds(), limit))


def hold(places: Iterable[tuple[UUID, str]]) -> None:
    """Put the end of these (viewer, place) off, in one round trip."""
    pipeline = redis.cache().pipeline(transaction=False)
    for viewer, place in places:
        pipeline.eval(_HOLD, 1, _key(viewer), place, _milliseconds())
    pipeline.execute()


def leave(viewer: UUID, place: str) -> None:
    """Make room for another."""
    redis.cache().zrem(_key(viewer), place)
