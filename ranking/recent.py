"""The counts of recent posts in ClickHouse's memory: whether a query may take them from there, and having them loaded.

The server loads them when it is told to, so it is told to by whoever makes feeds: nothing is loaded while nobody reads,
or while nothing is counted. They are a help that may be missing. While they are not there, are too old or cannot be
loaded, the table post_counters is asked, which costs more and says the same.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import NamedTuple

from django.conf import settings

from clickhouse_sql import memory
from community.ids import id_at
from nova import clickhouse, clock
from nova.errors import NovaError, Permanent
from ranking import cache, queries

log = logging.getLogger(__name__)

LOADING = "counts:loading"
# What one caller saw holds for so long, for all threads of the process.
_LOOK_SECONDS = 2.0
# Loading them may take this part of the time.
_SHARE = 0.1
# They are loaded after so long even if nothing seems to have been counted.
_OLD_SECONDS = 600.0
# So many seconds after its time a part may be there.
_LATE_SECONDS = 10
# Posts of so many days and of today.
_DAYS = 7
# Where the text of a UUID tells its version.
_VERSION = 14
# After the server refused to say what it holds it is asked again so much later.
_REFUSED_SECONDS = 60.0
_serves = False
_seen_until = 0.0
_next_load = 0.0
_looking = threading.Lock()


class Memory(NamedTuple):
    """What the server holds. loading: it is being loaded, perhaps again; failed: that did not work the last time; age:
    the seconds that its counts are old; took: seconds that loading takes; changed: something was counted since the last
    loading began."""

    loaded: bool
    loading: bool
    failed: bool
    age: float
    took: float
    changed: bool

    def serves(self, most: float) -> bool:
        """Whether these counts are right, or were so at most `most` seconds ago. Of what was counted before a loading
        that has not ended nothing is known."""
        return self.loaded and (self.age <= most or not (self.changed or self.failed or self.loading))

    def pause(self, most: float) -> float:
        """After so many seconds they are loaded again, when it is in time for `most` and does not keep the server
        busy."""
        return max(most / 3, self.took / _SHARE)

    def is_due(self, most: float) -> bool:
        """Whether they are to be loaded now."""
        if self.loading:
            return False
        is_other = self.changed or self.failed or self.age >= _OLD_SECONDS
        return not self.loaded or (is_other and self.age >= self.pause(most))


def serve(timeout: float) -> bool:
    """Whether the next query may take counts from memory. One caller looks, the others go by what was seen last.

    Raises as `clickhouse.query` does, but for `Permanent`.
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


def ids_held() -> Callable[[str], bool]:
    """Whether a post's counts are there, when any are: of the others nothing there says nothing. It is told by its id,
    which holds its time: a day less than is loaded, since the server's clock is another."""
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = str(id_at(today - timedelta(days=_DAYS), 0))
    return lambda identifier: identifier >= first and identifier[_VERSION] == "7"


def missed(error: NovaError) -> None:
    """What seemed to be in memory was not to be had."""
    log.warning("the counts of recent posts are not in ClickHouse's memory any more: %s", error)
    forget()


def forget() -> None:
    """Look again at the next call."""
    global _serves, _seen_until, _next_load
    _serves, _seen_until, _next_load = False, 0.0, 0.0


def _look(most: float, timeout: float) -> bool:
    global _serves, _seen_until, _next_load
    try:
        rows = clickhouse.query(queries.sql("recent_counts"), {"late": _LATE_SECONDS}, timeout=timeout)
    except Permanent as error:
        log.warning("ClickHouse does not say what it holds of the counts of recent posts: %s", error)
        _serves, _seen_until = False, monotonic() + _REFUSED_SECONDS
        return False
    found = [Memory(*row) for row in rows]
    _serves = any(held.serves(most) for held in found)
    _seen_until = monotonic() + _LOOK_SECONDS
    for held in found:
        pause = held.pause(most)
        if held.is_due(most) and monotonic() >= _next_load and _is_mine(pause):
            _next_load = monotonic() + pause
            threading.Thread(target=_load, name="recent-counts", daemon=True).start()
    return _serves


def _is_mine(pause: float) -> bool:
    """Whether no other process has begun to load them within the last `pause` seconds. Without Redis each does."""
    return bool(cache.ask(lambda redis: redis.set(LOADING, 1, nx=True, px=max(1, round(1000 * pause))), True))


def _load() -> None:
    global _seen_until
    try:
        memory.load()
        _seen_until = monotonic()
    except NovaError as error:
        log.warning("the counts of recent posts cannot be loaded into ClickHouse's memory: %s", error)
