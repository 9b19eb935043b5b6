"""One part under supervision: its state, its process, and what happens to it on each look of the supervisor.

States: waiting → preparing → starting → up (a step: done); from there resting → starting when it died, and
stopping → stopped. `failed` is final until somebody starts it again.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any

from embedded.engines import explain
from embedded.errors import StackError
from embedded.process import Process
from embedded.service import Outside, Service, Startable

log = logging.getLogger("embedded")

HEALTH_INTERVAL = 0.1
TEND_INTERVAL = 5.0
LONGEST_REST = 30.0
STEADY = 60.0
"""Seconds of running after which earlier deaths are forgotten."""
DEATHS_BEFORE_GIVING_UP = 3
"""Of a part that was never up: it cannot start, and another try will not help."""


class State(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    UP = "up"
    DONE = "done"
    OUTSIDE = "outside"
    RESTING = "resting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


READY = (State.UP, State.DONE, State.OUTSIDE)
AT_REST = (State.WAITING, State.DONE, State.OUTSIDE, State.STOPPED, State.FAILED)


class Unit:
    """A part of the stack. `look` moves it along and never blocks; everything slow runs on `workers`."""

    def __init__(self, service: Service, logs: Path, workers: ThreadPoolExecutor) -> None:
        self.service, self.log_file, self._workers = service, logs / f"{service.name}.log", workers
        self.state = State.WAITING
        self.process: Process | None = None
        self.restarts = 0
        self.since = time.time()
        self.reason = ""
        self.took = 0.0
        self._deaths = 0
        self._was_up = False
        self._due = 0.0
        self._started = 0.0
        self._kill_at = 0.0
        self._log_start = 0
        self._pending: Future[Any] | None = None
        self._tending: Future[str | None] | None = None

    @property
    def name(self) -> str:
        """The part's name."""
        return self.service.name

    def _enter(self, state: State) -> None:
        self.state, self.since = state, time.time()

    def begin(self) -> None:
        """Start the part from rest: prepare it, then start its process."""
        self.reason = ""
        self._deaths = 0
        self._started = time.monotonic()
        self._enter(State.PREPARING)
        self._pending = self._workers.submit(self.service.prepare)

    def look(self) -> None:
        """Find out what happened since the last look, and act on it."""
        match self.state:
            case State.PREPARING:
                self._look_at_preparation()
            case State.STARTING:
                self._look_at_start()
            case State.UP:
                if self._has_died():
                    self._after_death()
                else:
                    self._tend()
            case State.RESTING if time.monotonic() >= self._due:
                self._enter(State.PREPARING)
                self._pending = self._workers.submit(self.service.prepare)
            case State.STOPPING:
                self._look_at_stop()
            case _:
                pass

    def _look_at_preparation(self) -> None:
        assert self._pending is not None
        if not self._pending.done():
            return
        error = self._pending.exception()
        self._pending = None
        if isinstance(error, StackError):
            self._fail(str(error))
        elif error is not None:
            log.error("%s: %r", self.name, error, exc_info=error)
            self._fail(f"{type(error).__name__}: {error}")
        elif isinstance(self.service, Startable):
            self._spawn(self.service)
        else:
            self._enter(State.STARTING)

    def _spawn(self, service: Startable) -> None:
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self.process = Process(
            service.command(),
            environment=service.environment(),
            log=self.log_file,
            death_signal=service.death_signal,
            account=service.account,
        )
        self._enter(State.STARTING)

    def _look_at_start(self) -> None:
        if self._has_died():
            assert self.process is not None
            if self.service.one_shot and self.process.exit_code() == 0:
                self.took = time.monotonic() - self._started
                self._enter(State.DONE)
            else:
                self._after_death()
        elif self.service.one_shot:
            self._give_up_when_late()
        elif self._answers():
            self.took = time.monotonic() - self._started
            self._was_up = True
            self._enter(State.OUTSIDE if isinstance(self.service, Outside) else State.UP)
        else:
            self._give_up_when_late()

    def _answers(self) -> bool:
        """Ask for its health on a worker, again and again; True once it said yes."""
        if self._pending is None:
            if time.monotonic() >= self._due:
                self._pending = self._workers.submit(self.service.healthy)
            return False
        if not self._pending.done():
            return False
        answer, self._pending = self._pending, None
        self._due = time.monotonic() + HEALTH_INTERVAL
        if answer.exception() is not None:
            log.warning("%s: health check: %r", self.name, answer.exception())
            return False
        return bool(answer.result())

    def _give_up_when_late(self) -> None:
        if time.time() - self.since < self.service.start_timeout:
            return
        if self.process is not None:
            self.process.signal_all(9)
        limit = f"{self.service.start_timeout:.0f} s"
        if isinstance(self.service, Outside):
            self._fail(f"nothing of its kind answered within {limit} at {self.service.address} (from the environment)")
            return
        if self._was_up:
            self.reason = f"did not answer within {limit}"
            self._after_death()
        else:
            self._fail(f"did not {'end' if self.service.one_shot else 'answer'} within {limit}\n{self.last_words()}")

    def _has_died(self) -> bool:
        return self.process is not None and self.process.exit_code() is not None

    def _after_death(self) -> None:
        assert self.process is not None
        code = self.process.exit_code()
        self.process.signal_all(9)  # what it left behind would hold its port and its files
        ended = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        if self.state is State.UP and time.time() - self.since > STEADY:
            self._deaths = 0
        self._deaths += 1
        never_up = not self._was_up and self._deaths >= DEATHS_BEFORE_GIVING_UP
        if self.service.one_shot or never_up:
            self._fail(f"{ended}\n{self.last_words()}")
            return
        rest = min(LONGEST_REST, 0.25 * 2 ** (self._deaths - 1))
        self.reason = f"{ended}; starting it again in {rest:g} s"
        self._due = time.monotonic() + rest
        self.restarts += 1
        self._pending = None
        self._started = time.monotonic()
        self._enter(State.RESTING)

    def _fail(self, reason: str) -> None:
        self.reason = reason
        self._pending = None
        self._enter(State.FAILED)

    def last_words(self) -> str:
        """The end of what its last process printed, or advice when that names a missing library."""
        if self.process is None:
            return ""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(self._log_start, self.log_file.stat().st_size - 8000))
                return explain(file.read().decode(errors="replace"))
        except OSError:
            return ""

    def _tend(self) -> None:
        if self._tending is None:
            if time.monotonic() >= self._due:
                self._tending = self._workers.submit(self.service.tend)
        elif self._tending.done():
            done, self._tending = self._tending, None
            self._due = time.monotonic() + TEND_INTERVAL
            if done.exception() is None and (said := done.result()):
                log.warning("%s: %s", self.name, said)

    def stop(self) -> None:
        """Ask the process to end; after its grace it is killed. Returns at once."""
        if self.state in AT_REST or self.state is State.STOPPING:
            return
        if self._pending is not None and not self._pending.cancel() and self.state is State.PREPARING:
            self._pending.exception()  # a half-made data folder helps nobody: let it finish
        self._pending = None
        self._kill_at = time.monotonic() + self.service.stop_grace
        if self.process is not None:
            self.process.signal(self.service.stop_signal)
            self.process.signal_all(18)  # SIGCONT: a frozen process cannot end
        self._enter(State.STOPPING)

    def _look_at_stop(self) -> None:
        if self.process is not None and not self._has_died():
            if time.monotonic() >= self._kill_at:
                log.warning("%s: did not end in time, killed", self.name)
                self.process.signal_all(9)
            return
        if self.process is not None:
            self.process.signal_all(9)
        self._enter(State.STOPPED)

    def finish(self, goal: Callable[["Unit"], bool], timeout: float) -> bool:
        """Look again and again until `goal` holds; False when `timeout` seconds passed or it failed first."""
        until = time.monotonic() + timeout
        while not goal(self):
            if self.state is State.FAILED or time.monotonic() > until:
                return False
            time.sleep(0.02)
            self.look()
        return True
