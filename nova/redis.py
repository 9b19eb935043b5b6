"""The door to Redis: `durable` never evicts (claims, task broker), `cache` may (snapshots, limits, breaker).

Both answer within `REDIS_TIMEOUT` or raise `redis.exceptions.RedisError`; callers decide what to do without it.
Scripts may not rely on anything newer than Redis 6.2.
"""

import threading
from collections.abc import Sequence
from functools import cache as once
from typing import Any

import hiredis
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import ConnectionInterface
from redis.exceptions import NoScriptError
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


class Call:
    """One call of a script, packed to be sent. Keys and arguments: str, bytes or int."""

    __slots__ = ("packed", "script")

    def __init__(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]) -> None:
        self.script = script
        parts: Any = ("EVALSHA", script.sha, str(len(keys)), *keys, *map(str, arguments))
        self.packed: bytes = hiredis.pack_command(parts)


class _Lease(threading.local):
    """The connection to the cache that a thread keeps to itself; fetching one from a pool costs as much as a call."""

    pool: Any = None
    connection: ConnectionInterface | None = None

    def take(self) -> ConnectionInterface:
        pool = cache().connection_pool
        if self.connection is not None and self.pool is pool:
            return self.connection
        self.drop()
        connection = pool.make_connection()
        connection.connect()  # type: ignore[no-untyped-call]
        self.pool, self.connection = pool, connection
        return connection

    def drop(self) -> None:
        """Whatever was not read yet must not become the answer to the next call."""
        if self.connection is not None:
            self.connection.disconnect()  # type: ignore[no-untyped-call]
            self.connection = None


_lease = _Lease()


def together(*calls: Call) -> list[Any]:
    """The answers to several scripts of the cache, in one round trip and not atomic together. Raises `RedisError`.

    A script that fails, fails all; those before it have been run. A restarted server is tried again once.
    """
    try:
        return _answers(calls)
    except NoScriptError:
        for call in calls:
            cache().script_load(call.script.script)
    except redis.ConnectionError:
        # A server that closed an idle connection; a slow one was waited for long enough.
        pass
    return _answers(calls)


def _answers(calls: Sequence[Call]) -> list[Any]:
    try:
        connection = _lease.take()
        connection.send_packed_command([b"".join([call.packed for call in calls])])  # type: ignore[no-untyped-call]
        return [connection.read_response() for _ in calls]
    except BaseException:
        _lease.drop()
        raise
