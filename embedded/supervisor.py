"""Starts the parts in the order of their needs, starts again what dies, stops everything in reverse order."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded.errors import StackError
from embedded.service import Outside, Service
from embedded.unit import AT_REST, READY, State, Unit

log = logging.getLogger("embedded")

INTERVAL = 0.05
"""Seconds between two looks at all parts."""
RESTARTS_WHILE_STARTING = 5


class Supervisor:
    """Looks after the parts from one thread; `on_change` is called whenever a part has changed its state."""

    def __init__(self, services: Sequence[Service], logs: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self._workers = ThreadPoolExecutor(2 * len(services) + 2, thread_name_prefix="stack")
        self.units = {service.name: Unit(service, logs, self._workers) for service in services}
        self._on_change = on_change
        self._seen: list[tuple[State, int]] = []

    def step(self) -> None:
        """One look at every part; starts those whose needs are met."""
        for unit in self.units.values():
            if unit.state is State.WAITING and all(self._is_ready(need) for need in unit.service.needs):
                unit.begin()
            before = unit.state
            unit.look()
            if unit.state is not before:
                self._tell(unit)
        self._publish()

    def _is_ready(self, name: str) -> bool:
        return self.units[name].state in READY

    def _publish(self) -> None:
        now = [(unit.state, unit.restarts) for unit in self.units.values()]
        if now != self._seen:
            self._seen = now
            self._on_change()

    @staticmethod
    def _tell(unit: Unit) -> None:
        if unit.state is State.RESTING:
            log.warning("%s %s", unit.name, unit.reason)
        elif unit.state is State.FAILED:
            log.error("%s failed: %s", unit.name, unit.reason)
        elif unit.state in READY:
            log.info("%s is %s after %.1f s", unit.name, unit.state, unit.took)
        else:
            log.debug("%s is %s", unit.name, unit.state)

    def start(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Start everything and wait until it is ready; False when `wanted` turned false before that.

        Raises StackError with the words of the first part that cannot start.
        """
        while wanted():
            self.step()
            for unit in self.units.values():
                if unit.state is State.FAILED:
                    where = "" if isinstance(unit.service, Outside) else f"Its log: {unit.log_file}"
                    raise StackError(f"{unit.service.title} did not start: {unit.reason}", where)
                if unit.restarts >= RESTARTS_WHILE_STARTING:
                    said = f"{unit.service.title} died {unit.restarts} times while the rest was starting"
                    raise StackError(said, f"{unit.last_words()}\nIts log: {unit.log_file}")
            if all(unit.state in READY for unit in self.units.values()):
                return True
            time.sleep(INTERVAL)
        return False

    def watch(self, wanted: Callable[[], bool], each: Callable[[], None] = lambda: None) -> None:
        """Heal what dies for as long as `wanted` holds; `each` is called on every look."""
        while wanted():
            self.step()
            each()
            time.sleep(INTERVAL)

    def stop(self) -> None:
        """Stop everything, dependents first; returns when no process is left."""
        running = {name: unit for name, unit in self.units.items() if unit.state not in AT_REST}
        while running:
            needed = {need for unit in running.values() for need in self._all_needs(unit)}
            for name, unit in running.items():
                if name not in needed:
                    unit.stop()
                    unit.look()
            running = {name: unit for name, unit in running.items() if unit.state not in AT_REST}
            self._publish()
            time.sleep(INTERVAL / 2)
        for unit in self.units.values():
            if unit.process is not None and unit.state is State.FAILED:
                unit.process.signal_all(9)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _all_needs(self, unit: Unit) -> set[str]:
        """What it needs, and what that needs: steps in between end early and must not break the chain."""
        found: set[str] = set()
        todo = list(unit.service.needs)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(self.units[name].service.needs)
        return found
