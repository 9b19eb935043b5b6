"""Having a viewer's snapshot: the one kept while it serves, else a new one, made by one process at a time."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import cache as once
from time import monotonic, sleep
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, connection

from nova import clock, metrics
from nova.errors import NovaError, Transient
from ranking import breaker, candidates, entries, experiments, fallback, snapshot
from ranking.entries import Entry
from ranking.explanation import Basis
from ranking.merge import rank
from ranking.scoring import Weights
from ranking.snapshot import Missing, Slice, Snapshot

T = TypeVar("T")
log = logging.getLogger(__name__)

CH = "ch"
TIME = snapshot.TIME
# How a snapshot was come by.
HIT, STALE, MISS = "hit", "stale", "miss"
# Whoever waits for another's looks after so many seconds, then less and less often.
_LOOK_AGAIN_SECONDS, _LOOK_SELDOM_SECONDS = 0.02, 0.1
# A feed that is made asks ClickHouse two questions at once; a third connection is left for whatever else is asked.
_CONNECTIONS = 3


def obtain(viewer: str, algorithm: str, *, limit: int, explain: bool, now: datetime) -> tuple[Slice, str]:
    """The first `limit` entries of the viewer's feed, and how they were come by.

    A snapshot past its soft age is served while a new one is made, as long as ClickHouse answers; one that was
    invalidated is not. Raises what `build` does.
    """
    kept = snapshot.read(viewer, algorithm=algorithm, limit=limit, explain=explain)
    version = weights_of(viewer, algorithm, now).version
    if isinstance(kept, Slice) and kept.about.is_current(kept.generation, version):
        if kept.about.is_fresh(now):
            return kept, HIT
        if algorithm == CH and breaker.clickhouse.look().after is breaker.State.CLOSED:
            _rebuild_soon(viewer)
            return kept, STALE
    return _build_once(viewer, algorithm, kept, limit, explain, now)


def build(viewer: str, algorithm: str, now: datetime) -> Snapshot:
    """Make a viewer's feed and keep it, whatever is kept.

    Raises a `nova.errors` class without ClickHouse (`breaker.Refused` when it was not even asked), for order of time
    `django.db.DatabaseError` without PostgreSQL.
    """
    # Not to be alone: by the lock, who tells of changes sees that a feed is being made. Nobody waits for it here.
    token = _lock(viewer, algorithm)
    try:
        generation = snapshot.read(viewer, algorithm=algorithm, limit=0).generation
        return _made_and_kept(viewer, algorithm, now, generation, given=False)
    finally:
        snapshot.unlock(viewer, algorithm, token or "")


def _made_and_kept(viewer: str, algorithm: str, now: datetime, generation: int, *, given: bool) -> Snapshot:
    """`generation`: the viewer's, read before anything else; `given`: somebody waits for a page of it."""
    made = make(viewer, algorithm, now, generation)
    with _timed("snapshot"):
        snapshot.keep(viewer, made, given=given)
    return made


def _lock(viewer: str, algorithm: str) -> str | None:
    return snapshot.lock(viewer, algorithm, _lock_seconds())


def _lock_seconds() -> float:
    """How long a lock lives that nobody gives back."""
    return 2 * settings.CLICKHOUSE_DEADLINE


def make(viewer: str, algorithm: str, now: datetime, generation: int = 0, until: datetime | None = None) -> Snapshot:
    """Make a viewer's feed without keeping it, of posts made `until` then if it is given. Raises what `build` does."""
    # To the millisecond, as in the snapshot's id: by it the same scores can be worked out again.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    weights = weights_of(viewer, algorithm, now)
    found = _ranked(viewer, weights, now, until) if algorithm == CH else _by_time(viewer, now, until)
    return Snapshot.made(found, algorithm=algorithm, generation=generation, weights=weights, now=now)


def weights_of(viewer: str, algorithm: str, now: datetime) -> Weights:
    """What the parts of the viewer's scores weigh. In order of time there is nothing to weigh."""
    return experiments.weights_of(viewer, now) if algorithm == CH else Weights.configured()


def _ranked(viewer: str, weights: Weights, now: datetime, until: datetime | None) -> list[Entry]:
    with _timed("candidates"):
        known = ask(lambda: candidates.gather(viewer, now, until))
    with _timed("scoring"):
        items = rank(
            known.candidates,
            counts=known.counts,
            interactions=known.interactions,
            weights=weights,
            now=now,
            limit=settings.SNAPSHOT_POSTS,
        )
    with _timed("hydration"):
        return entries.ranked(items, Basis.of(now, weights))


def ask(question: Callable[[], T]) -> T:
    """What ClickHouse answers to a reader, behind its breaker and in one of this process' places. Raises `Transient`
    when none gets free in time, and as `breaker.Breaker.call` does."""
    with _place():
        return breaker.clickhouse.call(question)


@once
def _places() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, settings.CLICKHOUSE_POOL // _CONNECTIONS))


@contextmanager
def _place() -> Iterator[None]:
    """One of as many as this process can ask at once. When all readers come back together, as after an outage,
    ClickHouse would else miss every deadline, and what is our own crowd would count as its failure."""
    if not _places().acquire(timeout=settings.CLICKHOUSE_DEADLINE):
        raise Transient("ClickHouse is being asked as much as it can be at once")
    try:
        yield
    finally:
        _places().release()


def _by_time(viewer: str, now: datetime, until: datetime | None) -> list[Entry]:
    with _timed("fallback"):
        return fallback.newest(viewer, now, until)


def _build_once(
    viewer: str, algorithm: str, before: Slice | Missing, limit: int, explain: bool, now: datetime
) -> tuple[Slice, str]:
    """Build, unless another does so already: then wait for theirs, or, when they fail, for the turn to build. before:
    what is kept and does not serve."""
    token, generation = _lock(viewer, algorithm), before.generation
    if token is None:
        found = _wait(viewer, algorithm, limit, explain, before)
        if isinstance(found, Slice):
            return found, HIT
        token, generation = found
    try:
        return _made_and_kept(viewer, algorithm, now, generation, given=limit > 0).cut(0, limit), MISS
    finally:
        snapshot.unlock(viewer, algorithm, token)


def _wait(viewer: str, algorithm: str, limit: int, explain: bool, before: Slice | Missing) -> Slice | tuple[str, int]:
    """What another has made, as soon as it is there; or the lock's token, when it is free and nothing is there, with
    the viewer's generation at that time.

    Raises `Transient` when others had the lock for longer than one of them can, and when it is free only after the
    deadline and they have made nothing: the next would not, either. In order of time, behind which there is no other
    path, the turn is given all the same, with the token "" when others keep the lock.
    """
    start, pause = monotonic(), _LOOK_AGAIN_SECONDS
    late, end = start + settings.CLICKHOUSE_DEADLINE, start + _lock_seconds()
    while True:
        sleep(pause)
        pause = min(1.5 * pause, _LOOK_SELDOM_SECONDS)
        over = monotonic() > end
        token = _lock(viewer, algorithm)
        # Only now: who had the lock may have kept theirs just before it was given back.
        kept = snapshot.read(viewer, algorithm=algorithm, limit=limit, explain=explain)
        if isinstance(kept, Slice) and _serves(viewer, kept):
            snapshot.unlock(viewer, algorithm, token or "")
            return kept
        # What was made may not serve, because the feed has changed since.
        has_been_made = isinstance(kept, Slice) and kept.about != getattr(before, "about", None)
        if token is not None and (algorithm == TIME or has_been_made or monotonic() < late):
            return token, kept.generation
        if token is not None:
            snapshot.unlock(viewer, algorithm, token)
            raise Transient("who was making this feed could not in time")
        if over and algorithm == TIME:
            return "", kept.generation
        if over:
            raise Transient("others were making this feed for too long")


def _serves(viewer: str, kept: Slice) -> bool:
    now = clock.now()
    version = weights_of(viewer, kept.about.algorithm, now).version
    return kept.about.is_current(kept.generation, version) and kept.about.is_fresh(now)


@once
def _builders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="rebuild")


_building: set[str] = set()
_building_lock = threading.Lock()


def _rebuild_soon(viewer: str) -> None:
    """Make the viewer's ranked feed in the background, unless this process or another is about it already."""
    with _building_lock:
        if viewer in _building:
            return
        _building.add(viewer)
    _builders().submit(_rebuild, viewer)


def _rebuild(viewer: str) -> None:
    try:
        token = _lock(viewer, CH)
        if token is None:
            return
        try:
            kept = snapshot.read(viewer, algorithm=CH, limit=0)
            # Another may have made it while this waited for its turn.
            if not (isinstance(kept, Slice) and _serves(viewer, kept)):
                _made_and_kept(viewer, CH, clock.now(), kept.generation, given=False)
        finally:
            snapshot.unlock(viewer, CH, token)
    except (NovaError, DatabaseError) as error:
        log.info("a feed could not be rebuilt: %s", error)
    finally:
        with _building_lock:
            _building.discard(viewer)
        connection.close()


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    start = monotonic()
    try:
        yield
    finally:
        metrics.FEED_STAGE_SECONDS.labels(stage).observe(monotonic() - start)
