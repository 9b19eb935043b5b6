"""What a process costs, read from /proc, and how a count grows, seen from outside."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded.process import family

_TICK = os.sysconf("SC_CLK_TCK")
STEADY = (0.1, 0.9)
"""Which part of a run counts for its pace: start-up, joining the group and the last, half-full batches lie outside."""


def cpu_seconds(root: int) -> float:
    """CPU seconds of a process and all its descendants, those that have ended included."""
    ticks = 0
    for member in family(root):
        try:
            line = Path(f"/proc/{member.pid}/stat").read_text()
        except OSError:
            continue
        # utime, stime, and what ended children had used.
        ticks += sum(map(int, line[line.rindex(")") + 2 :].split()[11:15]))
    return ticks / _TICK


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process in MB: now, and at its highest."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = dict(line.split(":", 1) for line in lines)
    now, highest = (int(found[key].split()[0]) / 1024 if key in found else 0.0 for key in ("VmRSS", "VmHWM"))
    return now, highest


@dataclass
class Curve:
    """A run as seen from outside. points: (seconds, visible rows); cpu: side → CPU seconds of the steady part."""

    total: int
    points: list[tuple[float, int]] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, list[float]]] = field(default_factory=list)

    def _reached(self, share: float) -> tuple[float, int]:
        return next((point for point in self.points if point[1] >= max(1, share * self.total)), self.points[-1])

    @property
    def steady_events(self) -> int:
        """How many events became visible in the steady part."""
        return self._reached(STEADY[1])[1] - self._reached(STEADY[0])[1]

    @property
    def pace(self) -> float:
        """Events per second of the steady part."""
        (begun, before), (ended, after) = (self._reached(share) for share in STEADY)
        return (after - before) / (ended - begun) if ended > begun else 0.0

    @property
    def whole_pace(self) -> float:
        """Events per second from the first visible row to the last, without the block that the first came with."""
        (begun, before), (ended, after) = self._reached(0), self._reached(1)
        return (after - before) / (ended - begun) if ended > begun else 0.0

    def cpu_per_event(self) -> dict[str, float]:
        """µs of CPU per event by side."""
        return {side: seconds / self.steady_events * 1e6 for side, seconds in self.cpu.items() if self.steady_events}


def watch(
    count: Callable[[], int],
    total: int,
    sides: Mapping[str, list[int]],
    *,
    alive: Callable[[], bool],
    told: Callable[[int], None] = lambda done: None,
    memory_of: list[int] | None = None,
    every: float = 0.05,
    silence: float = 180,
) -> Curve:
    """Sample `count()` until it is `total`. sides: whose CPU, by pid. memory_of: whose memory is noted twice a second.

    Raises RuntimeError when not `alive()`, TimeoutError when nothing has changed for `silence` seconds.
    """
    curve = Curve(total)
    began = changed = noted = time.monotonic()
    marks: list[dict[str, float]] = []
    seen = 0
    while True:
        rows, now = count(), time.monotonic()
        if rows != seen or not curve.points:
            curve.points.append((now - began, rows))
            seen, changed = rows, now
            told(rows)
        for share in STEADY[len(marks) :]:
            if rows >= max(1, share * total):
                marks.append({side: sum(map(cpu_seconds, pids)) for side, pids in sides.items()})
        if memory_of and now - noted > 0.5:
            noted = now
            curve.memory.append((now - began, [memory_mb(pid)[0] for pid in memory_of]))
        if rows >= total:
            break
        if not alive():
            raise RuntimeError("a process ended before all events were visible")
        if now - changed > silence:
            raise TimeoutError(f"{rows} of {total} events visible, and no more for {silence:.0f} s")
        time.sleep(every)
    curve.cpu = {side: marks[1][side] - marks[0][side] for side in sides}
    return curve
