"""Making a feed that nobody has kept: one after the other, in bulk, and beside the seed's single query.

Runs inside Django: what is measured is `ranking.pipeline.rank`, from the first question to the kept snapshot.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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


def ours(viewers: Sequence[str], server: int, tell: Tell) -> Mapping[str, Any]:
    """Rank each viewer's feed. server: the process id of ClickHouse. ms: quantiles; cpu_ms: of ClickHouse and of this
    process for one feed; stages_ms: means; posts: in a feed, on average. Raises a `nova.errors` class when ClickHouse
    takes longer than its deadline."""
    from ranking import pipeline, snapshot

    before, spent = _stages(), cpu_seconds(server) + time.process_time()
    took, posts = [], 0
    for number, viewer in enumerate(viewers):
        began = time.perf_counter()
        made = pipeline.rank(UUID(viewer))
        took.append(time.perf_counter() - began)
        posts += len(snapshot.ids(viewer, made) or ())
        tell(number + 1)
    count = len(viewers)
    spent = cpu_seconds(server) + time.process_time() - spent
    stages = {name: round((_stages()[name] - before[name]) / count * 1000, 1) for name in STAGES}
    cpu = round(spent / count * 1000, 1)
    return {"ms": quantiles(took), "cpu_ms": cpu, "stages_ms": stages, "posts": round(posts / count)}


def seed(client: Client, viewers: Sequence[str], server: int, threads: int, tell: Tell) -> Mapping[str, Any]:
    """Ask the seed's query for each viewer. threads: of the server for one query, 0 for as many as it gives by itself.
    ms: quantiles; cpu_ms: of ClickHouse for one query; posts: in an answer, on average."""
    settings = {"server_side_params": True, "max_threads": threads}
    client.execute(_SEED, {"viewer": viewers[0]}, settings=settings)
    spent, took, posts = cpu_seconds(server), [], 0
    for number, viewer in enumerate(viewers):
        began = time.perf_counter()
        posts += len(client.execute(_SEED, {"viewer": viewer}, settings=settings))
        took.append(time.perf_counter() - began)
        tell(number + 1)
    cpu = round((cpu_seconds(server) - spent) / len(viewers) * 1000, 1)
    return {"ms": quantiles(took), "cpu_ms": cpu, "posts": round(posts / len(viewers))}


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
