"""The suggestions of a whole community: the job as it runs, with its writing to Redis; beside it the plain query."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.ingest.meters import cpu_seconds, memory_mb
from benchmarks.jobs import community
from nova import clickhouse, clock, redis
from ranking import suggestions

# The sides of `cpu`.
SERVER, STORE, JOB = "ClickHouse", "Redis", "job"
# As one writes it first: the follows joined with themselves, the followed taken out, thirty kept. It knows no weights,
# shared interests, reasons and blocks, and so has less to do.
_PLAIN = """
WITH mine AS (
    SELECT follower_id, followee_id FROM follows_cdc FINAL WHERE follower_id > {lo:UUID} AND follower_id <= {hi:UUID}
)
SELECT viewer, candidate, count() AS mutual
FROM (SELECT follower_id AS viewer, followee_id AS friend FROM mine) AS first
JOIN (
    SELECT follower_id AS friend, followee_id AS candidate FROM follows_cdc FINAL
    WHERE follower_id IN (SELECT followee_id FROM mine)
) AS second USING friend
WHERE candidate != viewer AND (viewer, candidate) NOT IN (SELECT follower_id, followee_id FROM mine)
GROUP BY viewer, candidate
ORDER BY viewer, mutual DESC
LIMIT 30 BY viewer
FORMAT Null
"""
_PLAIN_VIEWERS = 2000


@dataclass(frozen=True)
class Suggested:
    """One run. seconds: of the whole job; prepare: of these before the first batch; cpu: seconds by side; memory_mb:
    the highest of ClickHouse so far; bytes_per_viewer: kept in Redis."""

    members: int
    viewers: int
    batches: int
    seconds: float
    prepare: float
    bytes_per_viewer: float
    memory_mb: float
    cpu: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.viewers / self.seconds

    @property
    def cores(self) -> float:
        """How many cores were busy with it on average."""
        return sum(self.cpu.values()) / self.seconds

    def cpu_us(self, side: str | None = None) -> float:
        """Microseconds of CPU for one viewer, of one side or of all."""
        return 1e6 * (sum(self.cpu.values()) if side is None else self.cpu[side]) / self.viewers


@dataclass(frozen=True)
class Spent:
    """Filled when the block of `meter` has ended."""

    cpu: dict[str, float] = field(default_factory=dict)


@contextmanager
def meter(pids: Mapping[str, int]) -> Iterator[Spent]:
    """CPU seconds of ClickHouse, Redis (`pids` by the engine's name) and this process while the block goes on."""

    def now() -> dict[str, float]:
        return {SERVER: cpu_seconds(pids["clickhouse"]), STORE: cpu_seconds(pids["redis"]), JOB: time.process_time()}

    spent, before = Spent(), now()
    yield spent
    spent.cpu.update({side: value - before[side] for side, value in now().items()})


def run(members: int, pids: Mapping[str, int], told: Callable[[int], None]) -> Suggested:
    """The job on the community of `members` that is there."""
    begun = time.monotonic()
    with meter(pids) as spent:
        found = suggestions.refresh(clock.now(), left=lambda: 3600.0, progress=lambda done, of: told(done))
        seconds = time.monotonic() - begun
    return Suggested(
        members,
        found.viewers,
        found.batches,
        seconds,
        found.prepare_seconds,
        found.data / max(1, found.viewers),
        memory_mb(pids["clickhouse"])[1],
        spent.cpu,
    )


def plain_cpu_us(pids: Mapping[str, int], members: int) -> float:
    """Microseconds of ClickHouse's CPU for one viewer by the plain query, all in one batch; no writing."""
    (lo, hi) = (
        clickhouse.query(
            "SELECT follower_id FROM (SELECT DISTINCT follower_id FROM follows_cdc ORDER BY follower_id)"
            f" LIMIT 1 OFFSET {at}"
        )[0][0]
        for at in (members // 2, members // 2 + _PLAIN_VIEWERS)
    )
    with meter(pids) as spent:
        clickhouse.command(_PLAIN, {"lo": lo, "hi": hi}, timeout=600)
    return 1e6 * spent.cpu[SERVER] / _PLAIN_VIEWERS


def forget(members: int) -> None:
    """Delete the suggestions that the job wrote."""
    client = redis.cache(30)
    rows = clickhouse.query(
        f"SELECT toString({community.identifier('number')}) FROM numbers({members})", timeout=120, columnar=True
    )
    names = [suggestions.key(viewer) for viewer in rows[0]]
    for start in range(0, len(names), 5000):
        client.unlink(*names[start : start + 5000])
