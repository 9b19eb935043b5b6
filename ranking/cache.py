"""Redis as ranking uses it: a help that may be missing. Whoever asks here goes on without an answer.

After a failure Redis is left alone for a moment, by this process: a frozen one would cost every call its timeout.
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from redis.exceptions import RedisError

from nova.redis import cache as redis

__all__ = ["ask", "redis", "reset"]

T = TypeVar("T")
U = TypeVar("U")
log = logging.getLogger(__name__)

LEAVE_ALONE_SECONDS = 1.0
_again_at = 0.0


def ask(call: Callable[[Any], T], otherwise: U) -> T | U:
    """What `call` gets from Redis, or `otherwise` when Redis does not answer. Blocks at most for its timeout."""
    global _again_at
    if monotonic() < _again_at:
        return otherwise
    try:
        return call(redis())
    except RedisError as error:
        _again_at = monotonic() + LEAVE_ALONE_SECONDS
        log.warning("ranking goes on without Redis: %s", error)
        return otherwise


def reset() -> None:
    """Forget past failures: the next call tries Redis again."""
    global _again_at
    _again_at = 0.0
