"""The beginning of a feed that is kept and good: one round trip to Redis, and the bytes as they lie there.

Most readers ask for nothing else, so this is the one way that is made short. It decides as `building.obtain` does and
never builds: for whatever is not simply there, `pipeline.page` is the way.
"""

import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from nova import clock, metrics, redis
from ranking import building, cache, snapshot, split
from ranking.cursor import Cursor
from ranking.snapshot import About, Head


@dataclass(frozen=True, slots=True)
class Ready:
    """The first page of a feed. posts: JSON values with commas between them; cursor: for the next page, None at the
    end."""

    about: About
    posts: bytes
    cursor: str | None

    def count(self) -> None:
        """Note in the metrics that it was served."""
        metrics.FEED_ANSWERS.labels(self.about.algorithm, building.HIT).inc()
        metrics.FEED_EXPERIMENT_ANSWERS.labels(self.about.experiment or "none", building.HIT).inc()


@dataclass(frozen=True, slots=True)
class Found:
    """What one round trip gave. ready: None when the feed must be made, or looked at more closely; beside: the answer
    to the other call, None without one."""

    ready: Ready | None
    beside: Any


class _Sent:
    """The pages that this process read last, at most so many bytes of them. A snapshot never changes, so whoever comes
    back to the same one needs no second copy out of Redis: only what may have changed around it is asked."""

    def __init__(self, most: int) -> None:
        self._lock, self._most, self._size = threading.Lock(), most, 0
        self._pages: dict[tuple[str, str, int], tuple[Head, Ready]] = {}

    def get(self, name: tuple[str, str, int]) -> tuple[Head, Ready] | None:
        return self._pages.get(name)

    def put(self, name: tuple[str, str, int], head: Head, ready: Ready) -> None:
        with self._lock:
            self._forget(name)
            self._pages[name] = head, ready
            self._size += len(head.posts)
            while self._size > self._most:
                self._forget(next(iter(self._pages)))

    def _forget(self, name: tuple[str, str, int]) -> None:
        if page := self._pages.pop(name, None):
            self._size -= len(page[0].posts)


_sent = _Sent(32 << 20)


def ready(viewer_id: UUID, *, limit: int, algo: str | None, beside: redis.Call | None = None) -> Found | None:
    """The first page of the viewer's feed while it is kept, current and fresh; `beside` is asked in the same round
    trip. None: Redis does not answer, and nothing is known of either."""
    viewer = str(viewer_id)
    algorithm = algo or split.algorithm_of(viewer)
    name = viewer, algorithm, limit
    sent = _sent.get(name)
    known = sent[0] if sent else None
    reading = snapshot.reading_head(viewer, algorithm, limit, known)
    calls = (reading,) if beside is None else (reading, beside)
    answers = cache.ask(lambda _: redis.together(*calls), None)
    if answers is None:
        return None
    head = snapshot.head(answers[0], known)
    page = None
    if head is not None and _is_good(viewer, algorithm, head):
        page = sent[1] if sent and head is known else _page(viewer, algorithm, head)
        if head is not known:
            _sent.put(name, head, page)
    return Found(page, answers[1] if beside else None)


def _is_good(viewer: str, algorithm: str, head: Head) -> bool:
    now = clock.now()
    version = building.weights_of(viewer, algorithm, now).version
    return head.about.is_fresh(now) and head.about.is_current(head.generation, version)


def _page(viewer: str, algorithm: str, head: Head) -> Ready:
    about, cursor = head.about, None
    if head.has_more:
        cursor = Cursor(about.snapshot, head.after, about.shown, head.last, about.algorithm, algorithm).encode(viewer)
    return Ready(about, head.posts, cursor)
