"""The beginning of a feed that is kept and good: one round trip to Redis, and the bytes as they lie there.

Most readers ask for nothing else, so this is the one way that is made short. It decides as `building.obtain` does and
never builds: for whatever is not simply there, `pipeline.page` is the way.
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from prometheus_client import Counter

from nova import clock, metrics, redis
from ranking import building, cache, experiments, head, snapshot, split
from ranking.about import About
from ranking.cursor import Cursor
from ranking.head import Head


@dataclass(frozen=True, slots=True)
class Ready:
    """The first page of a feed. posts: JSON values with commas between them; cursor: for the next page, None at the
    end."""

    about: About
    posts: bytes
    cursor: str | None


def counters(algorithm: str, experiment: str) -> tuple[Counter, ...]:
    """What is raised by one for each page that is served; experiment: "" for none."""
    return (
        metrics.FEED_ANSWERS.labels(algorithm, building.HIT),
        metrics.FEED_EXPERIMENT_ANSWERS.labels(experiment or "none", building.HIT),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What one round trip gave. ready: None when the feed must be made, or looked at more closely; beside: the answer
    to the other call, None without one."""

    ready: Ready | None
    beside: Any


class _Sent:
    """The pages that this process read newly last, at most so many bytes of them. A snapshot never changes, so whoever
    comes back to the same one needs no second copy out of Redis: only what may have changed around it is asked."""

    def __init__(self, most: int) -> None:
        self._lock, self._most, self._size = threading.Lock(), most, 0
        self._pages: dict[tuple[str, str, int], tuple[Head, Ready]] = {}

    def get(self, name: tuple[str, str, int]) -> tuple[Head, Ready] | None:
        return self._pages.get(name)

    def put(self, name: tuple[str, str, int], found: Head, ready: Ready) -> None:
        with self._lock:
            self._forget(name)
            self._pages[name] = found, ready
            self._size += _size(found)
            while self._size > self._most:
                self._forget(next(iter(self._pages)))

    def _forget(self, name: tuple[str, str, int]) -> None:
        if page := self._pages.pop(name, None):
            self._size -= _size(page[0])


def _size(found: Head) -> int:
    """About how many bytes a page takes: its posts, and what is kept of it beside them."""
    return len(found.posts) + 2048


_sent = _Sent(32 << 20)


def ready(viewer_id: UUID, *, limit: int, algo: str | None, beside: redis.Call | None = None) -> Found | None:
    """The first page of the viewer's feed while it is kept, current and fresh; `beside` is asked in the same round
    trip. None: Redis does not answer, and nothing is known of either."""
    viewer = str(viewer_id)
    algorithm = algo or split.algorithm_of(viewer)
    name = viewer, algorithm, limit
    sent = _sent.get(name)
    known = sent[0] if sent else None
    reading = snapshot.reading_head(viewer, algorithm, known)
    calls = (reading,) if beside is None else (reading, beside)
    answers = cache.ask(lambda _: redis.together(*calls), None)
    if answers is None:
        return None
    found = head.read(answers[0], known, limit)
    page = None
    if found is not None and _is_good(viewer, algorithm, found):
        # By what is said of it: of two empty pages the posts are one and the same object.
        page = sent[1] if sent and found.about is sent[0].about else _page(viewer, algorithm, found)
        if found is not known:
            _sent.put(name, found, page)
    return Found(page, answers[1] if beside else None)


def _is_good(viewer: str, algorithm: str, found: Head) -> bool:
    now = clock.now()
    version = _version(viewer, algorithm, now)
    return found.about.is_fresh(now) and found.about.is_current(found.generation, version)


def _version(viewer: str, algorithm: str, now: datetime) -> str:
    """The version of `building.weights_of`."""
    return experiments.version_of(viewer, now) if algorithm == building.CH else str(settings.RANKING_VERSION)


def _page(viewer: str, algorithm: str, found: Head) -> Ready:
    about, cursor = found.about, None
    if found.has_more:
        place = about.snapshot, found.after, about.shown, found.last
        cursor = Cursor(*place, about.algorithm, algorithm, found.shown).encode(viewer)
    return Ready(about, found.posts, cursor)
