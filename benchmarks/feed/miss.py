"""Making a feed that nobody has kept: in turns with the seed's single query, and in bulk.

Runs inside Django: what is measured is `ranking.pipeline.rank`, from the first question to the kept snapshot.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from clickhouse_driver import Client
from prometheus_client import REGISTRY

from benchmarks.ingest.meters import cpu_seconds
from benchmarks.ingest.visible import quantiles

STAGES = ("candidates", "scoring", "hydration", "snapshot")
_SEED = Path(__file__).with_name("seed.sql").read_text()
Tell = Callable[[int], None]


def refresh_lists() -> None:
    """Have the lists of what is trending, as the job keeps them."""
    from nova import clock
    from ranking import pipeline
    from ranking.trending import WINDOWS

    for window in WINDOWS:
        pipeline.refresh_trending(window, clock.now())


def load_counts(client: Client, times: int = 3) -> Mapping[str, Any]:
    """Have the counts of recent posts in the server's memory as they are now. posts: how many are there; mb: what they
    take; load_ms: the median of so many loads."""
    from clickhouse_sql import memory
    from ranking import recent

    took = []
    for _ in range(times):
        began = time.perf_counter()
        client.execute(memory.RELOAD)
        took.append(time.perf_counter() - began)
    recent.forget()
    ((posts, size),) = client.execute(
        "SELECT element_count, bytes_allocated FROM system.dictionaries WHERE database = currentDatabase()"
    )
    return {"posts": posts, "mb": round(size / 1e6, 1), "load_ms": round(median(took) * 1000)}


@dataclass
class Way:
    """One way to a feed, taken in turns with others, since a machine's speed changes while it is measured.

    make: a viewer's feed by it; count: how many posts that is; cpu: the processor seconds that it has used so far.
    """

    make: Callable[[str], Any]
    count: Callable[[str, Any], int]
    cpu: Callable[[], float]
    # Of each turn the seconds that each feed took, and those of the stages on average.
    took: list[list[float]] = field(default_factory=list)
    stages: list[Mapping[str, float]] = field(default_factory=list)
    used: float = 0.0
    posts: int = 0

    def turn(self, viewers: Sequence[str], tell: Tell) -> None:
        """Make these viewers' feeds. Raises a `nova.errors` class when ClickHouse takes longer than its deadline."""
        before, used, took = _stages(), self.cpu(), []
        for viewer in viewers:
            began = time.perf_counter()
            made = self.make(viewer)
            took.append(time.perf_counter() - began)
            self.posts += self.count(viewer, made)
        self.used += self.cpu() - used
        self.took.append(took)
        self.stages.append({name: (value - before[name]) / len(viewers) for name, value in _stages().items()})
        tell(len(self.took))

    def found(self) -> dict[str, Any]:
        """ms: quantiles; cpu_ms and posts: of one feed, on average; stages_ms: medians of the turns' means."""
        every = list(chain.from_iterable(self.took))
        stages = {name: round(median(turn[name] for turn in self.stages) * 1000, 1) for name in STAGES}
        cpu, posts = round(self.used / len(every) * 1000, 1), round(self.posts / len(every))
        return {"ms": quantiles(every), "cpu_ms": cpu, "posts": posts, "stages_ms": stages}

    def beside(self, other: "Way") -> dict[str, float]:
        """This way's time through the other's, the median of the turns: of the whole, and of its questions alone."""
        theirs = [median(turn) for turn in other.took]
        whole = [median(turn) for turn in self.took]
        questions = [turn["candidates"] for turn in self.stages]
        return {
            name: round(median(mine / its for mine, its in zip(ours, theirs, strict=True)), 4)
            for name, ours in (("whole", whole), ("questions", questions))
        }


def ours(server: int) -> Way:
    """Feeds from the first question to the kept snapshot. server: the process id of ClickHouse, whose processor time
    counts as this process's own does."""
    from ranking import pipeline, snapshot

    return Way(
        lambda viewer: pipeline.rank(UUID(viewer)),
        lambda viewer, made: len(snapshot.ids(viewer, made) or ()),
        lambda: cpu_seconds(server) + time.process_time(),
    )


def seed(client: Client, server: int, threads: int) -> Way:
    """The seed's query. threads: of the server for one query, 0 for as many as it gives by itself."""
    settings = {"server_side_params": True, "max_threads": threads}
    return Way(
        lambda viewer: client.execute(_SEED, {"viewer": viewer}, settings=settings),
        lambda _, rows: len(rows),
        lambda: cpu_seconds(server),
    )


def bulk(viewers: Sequence[str], threads: int, tell: Tell) -> float:
    """Members ranked per second by so many threads of one process."""
    from django.db import connection

    from ranking import pipeline

    done = 0

    def some(part: Sequence[str]) -> None:
        nonlocal done
        try:
            for viewer in part:
                pipeline.rank(UUID(viewer))
                done += 1
                tell(done)
        finally:
            connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(some, viewers[first::threads]) for first in range(threads)]:
            future.result()
    return len(viewers) / (time.perf_counter() - began)


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a straight line through (log x, log y), by least squares."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle_x, middle_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    slope: float = sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)
    return slope


def _stages() -> dict[str, float]:
    sums = {name: REGISTRY.get_sample_value("nova_feed_stage_seconds_sum", {"stage": name}) for name in STAGES}
    return {name: value or 0.0 for name, value in sums.items()}
