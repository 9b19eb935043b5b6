"""What will be done to the stack, and when: drawn from a seed before anything runs. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal

from tests.chaos import failpoints
from tests.chaos.failpoints import Failpoint

Deed = Literal["kill", "freeze", "arm"]
EVENTS_CONSUMERS = ("events-1", "events-2")
CONSUMERS = (*EVENTS_CONSUMERS, "cdc")
ENGINES = ("kafka", "connect", "redis", "clickhouse", "postgres")
PARTS = (*CONSUMERS, *ENGINES)

# How often each kind comes, of a hundred.
_KINDS = {"arm": 45, "engine": 35, "consumer": 20}
_FROZEN = 0.4
# After the strike is over a part needs some seconds to be itself again; it is left alone meanwhile. An ambush needs
# more: the consumer has to start, get its partitions and come to the step.
_RECOVERY = {"kill": 8.0, "freeze": 8.0, "arm": 30.0}
# A member of the group that is silent for 10 s loses its partitions: half of those who sleep do so longer.
_NAP, _SLEEP = (0.5, 8.0), (11.0, 16.0)


@dataclass(frozen=True)
class Ambush:
    """A consumer's next start ends at `point`. nth, freeze, delay: as in `tests.chaos.armed.Trap`."""

    point: Failpoint
    nth: int
    freeze: float
    delay: float


@dataclass(frozen=True)
class Strike:
    """`at` seconds after the load began something happens to a part.

    kill: SIGKILL, and it may start again after `seconds`. freeze: SIGSTOP, and SIGCONT after `seconds`. arm: SIGTERM,
    as for a new version, and its next starts are `ambushes`.
    """

    at: float
    part: str
    deed: Deed
    seconds: float
    ambushes: tuple[Ambush, ...] = ()


def draw(chance: Random, seconds: float, every: float) -> list[Strike]:
    """Strikes for a load of `seconds`, one about `every` seconds, two seconds free at either end."""
    strikes: list[Strike] = []
    busy: dict[str, float] = {}
    points = {name: _shuffled(chance, _points(name)) for name in CONSUMERS}
    at = 2.0
    while at < seconds - 2:
        free = [part for part in PARTS if busy.get(part, 0.0) <= at]
        if free:
            strike = _strike(chance, at, free, points)
            busy[strike.part] = at + strike.seconds + _RECOVERY[strike.deed]
            strikes.append(strike)
        at += min(max(chance.expovariate(1 / every), every / 4), every * 3)
    return strikes


def _strike(chance: Random, at: float, free: Sequence[str], points: dict[str, Iterator[Failpoint]]) -> Strike:
    kind = chance.choices(list(_KINDS), list(_KINDS.values()))[0]
    wanted = [part for part in free if (part in ENGINES) == (kind == "engine")]
    part = chance.choice(wanted or list(free))
    if kind == "arm" and part in CONSUMERS:
        ambushes = [_ambush(chance, next(points[part]))]
        if ambushes[0].point.name in failpoints.LEAVES_PENDING and part in EVENTS_CONSUMERS and chance.random() < 0.5:
            ambushes.append(_ambush(chance, failpoints.REDO))
        return Strike(at, part, "arm", 0.0, tuple(ambushes))
    if chance.random() < _FROZEN:
        return Strike(at, part, "freeze", _pause(chance))
    return Strike(at, part, "kill", chance.uniform(0.0, 4.0))


def _ambush(chance: Random, point: Failpoint) -> Ambush:
    nth = 1 if point.seldom else chance.randint(1, 10)
    freeze = _pause(chance) if chance.random() < _FROZEN else 0.0
    return Ambush(point, nth, round(freeze, 1), round(chance.uniform(0.0, 0.03), 4))


def _pause(chance: Random) -> float:
    return chance.uniform(*(_NAP if chance.random() < 0.5 else _SLEEP))


def _points(consumer: str) -> tuple[Failpoint, ...]:
    return failpoints.EVENTS if consumer in EVENTS_CONSUMERS else failpoints.CDC


def _shuffled(chance: Random, points: Sequence[Failpoint]) -> Iterator[Failpoint]:
    """All points in a random order, then all again in another one, without end."""
    for _ in count():
        yield from chance.sample(points, len(points))
