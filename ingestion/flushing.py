"""The worker threads of a consumer: each carries a batch through its sink, and tries again as long as that can help."""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from ingestion.batcher import Batcher
from ingestion.errors import Fenced
from ingestion.ledger import Partition, Pending
from nova import metrics
from nova.errors import Overloaded, Transient

log = structlog.get_logger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 15.0


@dataclass(eq=False)
class Held:
    """A partition that this process owns, from its assignment until it goes to somebody else."""

    part: Partition
    batcher: Batcher[Any]
    pending: Pending | None
    # The batch that a worker has: how many messages and bytes, and since when.
    flying: int = 0
    flying_size: int = 0
    flying_since: float = 0.0
    paused: bool = False
    fenced_at: float | None = None
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def redoing(self) -> int:
        """How many offsets the batch to redo spans, as long as some of them are to come."""
        if self.pending is None or self.fenced_at is not None or self.batcher.next_offset > self.pending.hi:
            return 0
        return self.pending.hi - self.pending.lo + 1

    def give_up(self) -> None:
        """Write nothing more for this partition; what waits is forgotten, a retry ends."""
        self.part.alive = False
        self.gone.set()
        self.batcher.drop()


@dataclass(frozen=True)
class Job:
    """One batch. redo: it is the one that may be half inserted. oldest: Kafka's time of its first message (ms)."""

    held: Held
    messages: list[Any]
    redo: Pending | None
    oldest: int = -1


@dataclass(frozen=True)
class Done:
    """A batch that is stored, or not (`error`)."""

    job: Job
    error: BaseException | None


class Workers:
    """`count` threads that run `carry_out` on jobs. Daemons: a hanging insert does not keep the process from ending.

    free: how many have nothing to do, as far as `finished` has told. Both it and `submit` are for one thread only.
    """

    def __init__(self, count: int, carry_out: Callable[[Job], None]) -> None:
        self._carry_out = carry_out
        self.free = count
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"flush-{number}", daemon=True).start()

    def submit(self, job: Job) -> None:
        self.free -= 1
        self._jobs.put(job)

    def finished(self, wait: float) -> list[Done]:
        """All that has ended; waits up to `wait` seconds for the first."""
        found: list[Done] = []
        try:
            found.append(self._done.get(timeout=wait) if wait > 0 else self._done.get_nowait())
            while True:
                found.append(self._done.get_nowait())
        except queue.Empty:
            self.free += len(found)
            return found

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                self._carry_out(job)
            except BaseException as error:
                self._done.put(Done(job, error))
            else:
                self._done.put(Done(job, None))


def insistently(consumer: str, job: Job, call: Callable[[], None]) -> None:
    """Call until it succeeds, as long as the partition is ours; wait longer each time, longest when overloaded.

    Raises `Fenced` when the partition went to somebody else, and whatever is not `Transient`.
    """
    delay = _FIRST_DELAY
    part = job.held.part
    tries = 0
    while True:
        if not part.alive:
            raise Fenced(f"{part} went to somebody else")
        try:
            call()
        except Transient as error:
            tries += 1
            metrics.CONSUMER_RETRIES.labels(consumer, "redo" if job.redo else "flush").inc()
            wait = max(delay, 2.0 if isinstance(error, Overloaded) else 0.0) * random.uniform(0.75, 1.25)
            log.warning("retry", partition=str(part), tries=tries, wait=round(wait, 2), error=str(error)[:500])
            job.held.gone.wait(wait)
            delay = min(delay * 2, _LONGEST_DELAY)
        else:
            return


class Watch:
    """Since when something has lasted; `seconds` is 0.0 when it does not."""

    def __init__(self) -> None:
        self._since: float | None = None

    def lasts(self, lasting: bool) -> float:
        """Note whether it lasts; for how many seconds it has."""
        if not lasting:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since
