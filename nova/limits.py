"""How often a viewer may call: a window of a minute that opens with the first call, counted by one script in Redis.

When Redis is gone each process counts for itself: limits get looser by the number of processes, and calls go on.
"""

import math
import threading
import time
from dataclasses import dataclass
from functools import cache as once
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from redis.commands.core import Script
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from nova import redis

# DRF imports the classes its settings name while it imports its own views.
if TYPE_CHECKING:
    from rest_framework.views import APIView

WINDOW_SECONDS = 60
# After a failure Redis is left alone this long, so that a frozen one does not slow every call down.
_LEAVE_REDIS_SECONDS = 2.0
_LOCAL_WINDOWS = 50_000
_NOTED = "nova.rate_verdict"

# Counts one call. Returns the calls of this window so far and the milliseconds until it closes, as text: beside another
# script's answer a table would be sent on its own, and wake the reader once more.
_COUNT = """
local calls = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return calls .. ' ' .. left
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One call, weighed. limit and remaining: calls; reset: whole seconds until the window closes."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class _Local:
    """Windows of this process, for the time without Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, key: str) -> tuple[int, float]:
        """The calls of this window so far, and the seconds until it closes."""
        with self._lock:
            now = time.monotonic()
            calls, closes = self._windows.get(key, (0, 0.0))
            if now >= closes:
                calls, closes = 0, now + WINDOW_SECONDS
                # Moved to the end: the first key is always the window that closes first.
                self._windows.pop(key, None)
                while len(self._windows) >= _LOCAL_WINDOWS:
                    del self._windows[next(iter(self._windows))]
            self._windows[key] = (calls + 1, closes)
            return calls + 1, closes - now

    def clear(self) -> None:
        with self._lock:
            self._windows.clear()


local = _Local()
_redis_again_at = 0.0


def forgive_redis() -> None:
    """Ask Redis again at the next call, whatever failed before."""
    global _redis_again_at
    _redis_again_at = 0.0


def leave_redis() -> None:
    """Count in this process for a moment: Redis does not answer, or answers too late."""
    global _redis_again_at
    _redis_again_at = time.monotonic() + _LEAVE_REDIS_SECONDS


def _count(key: str) -> tuple[int, float]:
    if time.monotonic() >= _redis_again_at:
        try:
            return _read(redis.cache().eval(_COUNT, 1, key, WINDOW_SECONDS * 1000))
        except RedisError:
            leave_redis()
    return local.count(key)


def _read(answer: Any) -> tuple[int, float]:
    calls, left = answer.split()
    return int(calls), int(left) / 1000


def check(viewer: Any, scope: str) -> Verdict | None:
    """Count one call of `viewer` (anything with an `id`) to a scope of `settings.RATE_LIMITS`; None when exempt."""
    if getattr(viewer, "is_service", False):
        return None
    return _verdict(scope, *_count(_key(viewer.id, scope)))


def _verdict(scope: str, calls: int, left: float) -> Verdict:
    limit: int = settings.RATE_LIMITS[scope]
    return Verdict(calls <= limit, limit, max(0, limit - calls), max(1, math.ceil(left)))


def _key(identifier: UUID | str, scope: str) -> str:
    return f"limit:v1:{scope}:{identifier}"


def counting(identifier: UUID | str, scope: str) -> redis.Call:
    """The call of Redis' that counts, for whoever asks it something else in the same round trip."""
    return redis.Call(_script(), [_key(identifier, scope)], [WINDOW_SECONDS * 1000])


def counted(environ: dict[str, Any], scope: str, answer: Any) -> Verdict:
    """What the answer to `counting` says, noted in the request's environment: `enforce` then counts it no more."""
    verdict = _verdict(scope, *_read(answer))
    environ[_NOTED] = verdict
    return verdict


@once
def _script() -> Script:
    return redis.cache().register_script(_COUNT)


def headers(verdict: Verdict | None) -> dict[str, str]:
    """The RateLimit headers of an answer; Retry-After too when the call was refused."""
    if verdict is None:
        return {}
    said = {
        "RateLimit-Limit": str(verdict.limit),
        "RateLimit-Remaining": str(verdict.remaining),
        "RateLimit-Reset": str(verdict.reset),
    }
    return said if verdict.allowed else {**said, "Retry-After": str(verdict.reset)}


def verdict_of(request: HttpRequest) -> Verdict | None:
    """What `enforce` found for this request, if it was asked."""
    verdict: Verdict | None = request.META.get(_NOTED)
    return verdict


def enforce(request: HttpRequest, viewer: Any, scope: str) -> None:
    """Count one call and note the verdict on the request, for the answer's headers. Raises `Throttled` (429)."""
    verdict = verdict_of(request) or check(viewer, scope)
    request.META[_NOTED] = verdict
    if verdict and not verdict.allowed:
        raise Throttled(wait=verdict.reset)


class ViewerThrottle(BaseThrottle):
    """Limits a DRF view by its `throttle_scope`, a key of `settings.RATE_LIMITS`."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        scope = getattr(view, "throttle_scope", None)
        if scope and request.user:
            enforce(request._request, request.user, scope)
        return True
