"""The door to Redis: `durable` never evicts (claims, task broker), `cache` may (snapshots, limits, breaker).

Both answer within `REDIS_TIMEOUT` or raise `redis.exceptions.RedisError`; callers decide what to do without it.
Scripts may not rely on anything newer than Redis 6.2.
"""

from functools import cache as once

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


def _client(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # One quick second try: a connection that a restarted server closed is replaced without an error.
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
    )


@once
def durable(timeout: float | None = None) -> redis.Redis:
    """The Redis that never evicts and appends to disk. Values are bytes. timeout: seconds, default `REDIS_TIMEOUT`."""
    return _client(settings.REDIS_URL, timeout or settings.REDIS_TIMEOUT)


@once
def cache(timeout: float | None = None) -> redis.Redis:
    """The Redis whose loss costs only speed. Values are bytes. timeout: seconds, default `REDIS_TIMEOUT`."""
    return _client(settings.REDIS_CACHE_URL, timeout or settings.REDIS_TIMEOUT)
