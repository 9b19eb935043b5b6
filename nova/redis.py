"""The door to Redis: `durable` never evicts (claims, task broker), `cache` may (snapshots, limits, breaker).

Both answer within `REDIS_TIMEOUT` or raise `redis.exceptions.RedisError`; callers decide what to do without it.
Scripts may not rely on anything newer than Redis 6.2.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from functools import cache as once
from typing import Any

import hiredis
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

_CHUNK = 1 << 16


def _client(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # One quick second try: a connection that a restarted server closed is replaced without an error. Not after a
        # timeout: a server that is only slow still does what it was sent, and would do it twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
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
    """One call of a script, packed to be sent."""

    __slots__ = ("packed", "script")

    def __init__(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> None:
        self.script = script
        parts: Any = ("EVALSHA", script.sha, str(len(keys)), *keys, *arguments)
        self.packed: bytes = hiredis.pack_command(parts)


class _Line:
    """A connection that speaks to its socket directly.

    redis-py gives a socket its timeout in Python, which asks the kernel before each call whether it would wait; here
    the kernel keeps the time itself. Half the system calls mean half as many moments at which threads change places.
    """

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection, self._reader = connection, hiredis.Reader()
        self._got: Any = bytearray(_CHUNK)  # the reader's types know no buffers, it does
        self._socket: socket.socket = connection._sock
        if isinstance(self._socket, ssl.SSLSocket):
            return  # which keeps the time in Python whatever is asked of it
        limit = struct.pack("ll", int(connection.socket_timeout), int(connection.socket_timeout % 1 * 1e6))
        self._socket.settimeout(None)
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, direction, limit)

    def ask(self, packed: bytes, count: int) -> list[Any]:
        """The answers to `count` calls. Raises `OSError`, or what the server said as `RedisError`."""
        self._socket.sendall(packed)
        answers: list[Any] = []
        while len(answers) < count:
            answer = self._reader.gets()
            if answer is not False:
                answers.append(answer)
            elif size := self._socket.recv_into(self._got):
                self._reader.feed(self._got, 0, size)
            else:
                raise ConnectionResetError("Redis closed the connection")
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                text = str(answer)
                raise NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
        return answers

    def close(self) -> None:
        self._connection.disconnect()


class _Lease(threading.local):
    """The connection to the cache that a thread keeps to itself; fetching one from a pool costs as much as a call."""

    pool: Any = None
    line: _Line | None = None

    def take(self) -> _Line:
        pool = cache().connection_pool
        if self.line is None or self.pool is not pool:
            self.drop()
            self.pool, self.line = pool, _Line(pool.make_connection())
        return self.line

    def drop(self) -> None:
        """Whatever was not read yet must not become the answer to the next call."""
        if self.line is not None:
            self.line.close()
            self.line = None


_lease = _Lease()


def together(*calls: Call) -> list[Any]:
    """The answers to several scripts of the cache, in one round trip and not atomic together. Raises `RedisError`.

    When one fails, no answer is given, though the others were run. A restarted server is tried again once.
    """
    try:
        return _answers(calls)
    except NoScriptError:
        for call in calls:
            cache().script_load(call.script.script)
    except redis.ConnectionError:
        pass  # An idle connection that the server closed; a slow server was waited for long enough.
    return _answers(calls)


def _answers(calls: Sequence[Call]) -> list[Any]:
    try:
        return _lease.take().ask(b"".join([call.packed for call in calls]), len(calls))
    except (BlockingIOError, TimeoutError) as error:
        _lease.drop()
        raise redis.TimeoutError("Redis took longer than its time") from error
    except OSError as error:
        _lease.drop()
        raise redis.ConnectionError(str(error)) from error
    except BaseException:
        _lease.drop()
        raise
