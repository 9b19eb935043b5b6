"""The beginning of a feed that is kept and good: one round trip to Redis, and the bytes as they lie there.

Most readers ask for nothing else, so this is the one way that is made short. It decides as `building.obtain` does and
never builds: for whatever is not simply there, `pipeline.page` is the way.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from nova import clock, metrics, redis
from ranking import building, cache, snapshot, split
from ranking.cursor import Cursor
from ranking.snapshot import About


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


def ready(viewer_id: UUID, *, limit: int, algo: str | None, beside: redis.Call | None = None) -> Found | None:
    """The first page of the viewer's feed while it is kept, current and fresh; `beside` is asked in the same round
    trip. None: Redis does not answer, and nothing is known of either."""
    viewer = str(viewer_id)
    algorithm = algo or split.algorithm_of(viewer)
    reading = snapshot.reading_head(viewer, algorithm, limit)
    calls = (reading,) if beside is None else (reading, beside)
    answers = cache.ask(lambda _: redis.together(*calls), None)
    if answers is None:
        return None
    return Found(_good(viewer, algorithm, snapshot.head(answers[0])), answers[1] if beside else None)


def _good(viewer: str, algorithm: str, head: snapshot.Head | None) -> Ready | None:
    now = clock.now()
    if head is None or not head.about.is_fresh(now):
        return None
    about = head.about
    if not about.is_current(head.generation, building.weights_of(viewer, algorithm, now).version):
        return None
    cursor = None
    if head.has_more:
        cursor = Cursor(about.snapshot, head.after, about.shown, head.last, about.algorithm, algorithm).encode(viewer)
    return Ready(about, head.posts, cursor)
