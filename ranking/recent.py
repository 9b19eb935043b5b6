"""The counts of recent posts in ClickHouse's memory: whether a query may take them from there, and having them loaded.

The server loads them when it is told to, so it is told to by whoever makes feeds: nothing is loaded while nobody reads,
or while nothing is counted. They are a help that may be missing. While they are not there, are too old or cannot be
loaded, the table post_counters is asked, which costs more and says the same.
"""

import logging
import threading
from time import monotonic
from typing import NamedTuple

from django.conf import settings

from clickhouse_sql import memory
from nova import clickhouse
from nova.errors import NovaError
from ranking import cache, queries

log = logging.getLogger(__name__)

LOADING = "counts:loading"
# What one caller saw holds for so long, for all threads of the process.
_LOOK_SECONDS = 2.0
# Loading them may take this part of the time.
_SHARE = 0.1
_LOAD_SECONDS = 60.0
_serves = False
_seen_until = 0.0
_looking = threading.Lock()


class Memory(NamedTuple):
    """What the server holds. age: seconds since it was loaded; took: seconds for that; changed: something was counted
    since; failed: it could not be loaded the last time."""

    loaded: bool
    loading: bool
    failed: bool
    age: float
    took: float
    changed: bool

    def serves(self, most: float) -> bool:
        """Whether these counts are right, or were so at most `most` seconds ago."""
        return self.loaded and (self.age <= most or not (self.changed or self.failed))

    def pause(self, most: float) -> float:
        """After so many seconds they are loaded again, when it is in time for `most` and does not keep the server
        busy."""
        return max(most / 3, self.took / _SHARE)

    def is_due(self, most: float) -> bool:
        """Whether they are to be loaded now."""
        if self.loading:
            return False
        return not self.loaded or ((self.changed or self.failed) and self.age >= self.pause(most))


def serve(timeout: float) -> bool:
    """Whether the next query may take counts from memory. One caller looks, the others go by what was seen last.

    Raises as `clickhouse.query` does.
    """
    most = settings.COUNTS_MEMORY_SECONDS
    if not most:
        return False
    if monotonic() >= _seen_until and _looking.acquire(blocking=False):
        try:
            return _look(most, timeout)
        finally:
            _looking.release()
    # For those who do not wait for the one who looks, what was seen long ago says nothing.
    return _serves and monotonic() < _seen_until + _LOOK_SECONDS


def forget() -> None:
    """Look again at the next call."""
    global _serves, _seen_until
    _serves, _seen_until = False, 0.0


def _look(most: float, timeout: float) -> bool:
    global _serves, _seen_until
    found = [Memory(*row) for row in clickhouse.query(queries.sql("recent_counts"), timeout=timeout)]
    _serves = any(held.serves(most) for held in found)
    _seen_until = monotonic() + _LOOK_SECONDS
    for held in found:
        if held.is_due(most) and _is_mine(held.pause(most)):
            threading.Thread(target=_load, name="recent-counts", daemon=True).start()
    return _serves


def _is_mine(pause: float) -> bool:
    """Whether no other process has begun to load them within the last `pause` seconds. Without Redis each loads."""
    return bool(cache.ask(lambda redis: redis.set(LOADING, 1, nx=True, px=max(1, round(1000 * pause))), True))


def _load() -> None:
    global _seen_until
    try:
        clickhouse.command(memory.RELOAD, timeout=_LOAD_SECONDS)
        _seen_until = 0.0
    except NovaError as error:
        log.warning("the counts of recent posts cannot be loaded into ClickHouse's memory: %s", error)
