"""Redis as ranking uses it: a help that may be missing. Whoever asks here goes on without an answer.

After a failure that Redis is left alone for a moment, by this process: a frozen one would cost every call its timeout.
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from redis.exceptions import RedisError

from nova.redis import cache as redis
from nova.redis import durable

__all__ = ["ask", "durable", "redis", "reset"]

T = TypeVar("T")
U = TypeVar("U")
log = logging.getLogger(__name__)

LEAVE_ALONE_SECONDS = 1.0
# When each Redis is asked again.
_again_at: dict[Callable[[], Any], float] = {}


def ask(call: Callable[[Any], T], otherwise: U, door: Callable[[], Any] = redis) -> T | U:
    """What `call` gets from Redis, or `otherwise` when Redis does not answer. Blocks at most for its timeout.

    door: `redis`, the one whose loss costs only speed, or `durable`, the one that keeps what it was told."""
    if monotonic() < _again_at.get(door, 0.0):
        return otherwise
    try:
        return call(door())
    except RedisError as error:
        _again_at[door] = monotonic() + LEAVE_ALONE_SECONDS
        log.warning("ranking goes on without Redis: %s", error)
        return otherwise


def reset() -> None:
    """Forget past failures: the next call tries Redis again."""
    _again_at.clear()
