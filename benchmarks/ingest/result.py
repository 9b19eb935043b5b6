"""What one run of one contestant gave, and what several runs of it say together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Result:
    """pace: events/s of the steady part; whole_pace: from the first visible row to the last; cpu: µs per event by side;
    memory: highest resident MB of each consumer process; steps: step of ours → seconds of all batches;
    points: (seconds, visible rows); stored, distinct: rows and different ids at the end."""

    name: str
    pace: float
    whole_pace: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    batches: dict[str, float] = field(default_factory=dict)
    points: list[tuple[float, int]] = field(default_factory=list)
    stored: int | None = None
    distinct: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """Medians of the runs of one contestant; `low` and `high` bound its paces."""

    name: str
    runs: int
    pace: float
    low: float
    high: float
    whole_pace: float
    cpu: dict[str, float]
    memory: float
    stored: list[int]
    distinct: list[int]


def summary(results: Sequence[Result]) -> Summary:
    """results: at least one, of one contestant."""
    paces = [result.pace for result in results]
    sides = dict.fromkeys(side for result in results for side in result.cpu)
    return Summary(
        results[0].name,
        len(results),
        median(paces),
        min(paces),
        max(paces),
        median(result.whole_pace for result in results),
        {side: median(result.cpu[side] for result in results if side in result.cpu) for side in sides},
        max((max(result.memory) for result in results if result.memory), default=0.0),
        [result.stored for result in results if result.stored is not None],
        [result.distinct for result in results if result.distinct is not None],
    )
