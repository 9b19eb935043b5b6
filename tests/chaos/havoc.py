"""Carries out the strikes on the stack, from the supervisor's thread, and keeps count."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedded.process import Identity, family, send
from embedded.testing import Stack
from embedded.unit import State, Unit
from tests.chaos.plan import PARTS, Strike
from tests.chaos.stack import Consumer

# The supervisor lets a part rest longer after each death. Here nobody has time for that.
_LONGEST_REST = 3.0


@dataclass
class Toll:
    """What was done: by part, and for the ambushes by (consumer's kind, failpoint)."""

    killed: Counter[str] = field(default_factory=Counter)
    frozen: Counter[str] = field(default_factory=Counter)
    armed: Counter[tuple[str, str]] = field(default_factory=Counter)
    killed_at: Counter[tuple[str, str]] = field(default_factory=Counter)
    frozen_at: Counter[tuple[str, str]] = field(default_factory=Counter)


def kind_of(consumer: str) -> str:
    """events or cdc: what a failpoint belongs to."""
    return consumer.partition("-")[0]


class Havoc:
    """`beat` is called on every look of the supervisor. tell: is given a line for each thing that happens."""

    def __init__(self, stack: Stack, strikes: Sequence[Strike], diary: Path, tell: Callable[[str], None]) -> None:
        self._units = stack.units
        self._diary, self._tell = diary, tell
        self._left = sorted(strikes, key=lambda strike: strike.at, reverse=True)
        self._began = time.monotonic()
        self._down_until: dict[str, float] = {}
        self._asleep: dict[str, tuple[float, list[Identity]]] = {}
        self._read = 0
        self.toll = Toll()

    def begin(self) -> None:
        """The load begins now: the strikes are counted from here."""
        self._began = time.monotonic()

    def heal(self) -> None:
        """No more strikes. Those who sleep still wake up at their time."""
        self._left.clear()
        for name in ("events-1", "events-2", "cdc"):
            self._consumer(name).ambushes.clear()

    @property
    def over(self) -> bool:
        """Nobody sleeps any more."""
        return not self._asleep

    def beat(self) -> None:
        now = time.monotonic()
        while self._left and self._left[-1].at <= now - self._began:
            self._carry_out(self._left.pop(), now)
        for name, (until, members) in list(self._asleep.items()):
            if now >= until:
                del self._asleep[name]
                for member in reversed(members):
                    send(member, signal.SIGCONT)
        for name in PARTS:
            self._raise_again(self._units[name], now)
        self._read_diary()

    def _raise_again(self, unit: Unit, now: float) -> None:
        if unit.state is State.RESTING and now >= self._down_until.get(unit.name, 0.0):
            if unit.name in self._down_until or time.time() - unit.since > _LONGEST_REST:
                self._down_until.pop(unit.name, None)
                unit.begin()
        elif unit.state is State.FAILED and time.time() - unit.since > _LONGEST_REST:
            self._tell(f"{unit.name} failed, once more: {unit.reason.splitlines()[0]}")
            unit.begin()

    def _carry_out(self, strike: Strike, now: float) -> None:
        unit = self._units[strike.part]
        if unit.process is None or unit.state is not State.UP or strike.part in self._asleep:
            return
        said = f"{now - self._began:6.1f} s  {strike.deed} {strike.part}"
        if strike.deed == "freeze":
            members = family(unit.process.pid)
            for member in members:
                send(member, signal.SIGSTOP)
            self._asleep[strike.part] = (now + strike.seconds, members)
            self.toll.frozen[strike.part] += 1
            self._tell(f"{said} for {strike.seconds:.1f} s")
            return
        if strike.deed == "arm":
            self._consumer(strike.part).ambushes.extend(strike.ambushes)
            points = [ambush.point.name for ambush in strike.ambushes]
            self.toll.armed.update((kind_of(strike.part), point) for point in points)
            self._tell(f"{said} at {', then '.join(points)}")
            unit.process.signal(signal.SIGTERM)
        else:
            self._tell(f"{said}, back after {strike.seconds:.1f} s")
            unit.process.signal_all(signal.SIGKILL)
            self.toll.killed[strike.part] += 1
        self._down_until[strike.part] = now + strike.seconds

    def _consumer(self, name: str) -> Consumer:
        service = self._units[name].service
        assert isinstance(service, Consumer)
        return service

    def _read_diary(self) -> None:
        """What happened at failpoints since the last look."""
        if not self._diary.exists() or self._diary.stat().st_size == self._read:
            return
        with self._diary.open() as file:
            file.seek(self._read)
            for line in file.read().splitlines():
                entry = json.loads(line)
                where = (kind_of(entry["consumer"]), entry["point"])
                deaths = self.toll.frozen_at if entry["freeze"] else self.toll.killed_at
                deaths[where] += 1
                did = f"sleeps {entry['freeze']:.1f} s" if entry["freeze"] else "died"
                moment = time.monotonic() - self._began
                self._tell(f"{moment:6.1f} s  {entry['consumer']} {did} at {entry['point']}")
            self._read = file.tell()
