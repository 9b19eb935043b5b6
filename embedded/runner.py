"""Running one stack in this process: the lock, the record, signals, start, watch, stop."""

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from embedded.errors import StackError
from embedded.ports import held
from embedded.process import boot_id, rotate
from embedded.record import Record, clean, describe, myself
from embedded.stack import Plan
from embedded.supervisor import Supervisor

log = logging.getLogger("embedded")

WRITE_AGAIN = 1.0
"""Seconds until what could not be written is tried again."""


@contextmanager
def lock(var: Path) -> Iterator[None]:
    """Be the only supervisor of this data folder. Raises StackError when another one is."""
    var.mkdir(parents=True, exist_ok=True)
    with (var / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"a stack already runs in {var}", "make status shows it, make down stops it") from None
        yield


def log_to_file(var: Path) -> None:
    """Send the supervisor's own log to `log/supervisor.log`."""
    path = var / "log" / "supervisor.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    rotate(path)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


class Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into a wish to end; children, in sessions of their own, never see Ctrl-C."""

    def __init__(self) -> None:
        self.end = False

    def __enter__(self) -> "Signals":
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.end = True

    def go_on(self) -> bool:
        """False once somebody asked for the end."""
        return not self.end


class Runner:
    """One run of a plan; `on_record` sees each new record after it has been written."""

    def __init__(self, plan: Plan, on_record: Callable[[Record], None] = lambda record: None) -> None:
        self.plan = plan
        self.record = Record(
            state="starting", var=str(plan.var), boot=boot_id(), supervisor=myself(), ports=plan.ports, env=plan.env
        )
        self._on_record = on_record
        self._written, self._behind, self._again = False, False, 0.0
        self.supervisor = Supervisor(plan.services, plan.var / "log", self._write)

    def _write(self) -> None:
        self.record.parts = {unit.name: describe(unit) for unit in self.supervisor.units.values()}
        try:
            self.record.write()
            self._behind = False
        except OSError as error:
            # Without any record nobody would find what runs. Later a full disk must not end it, nor hinder its end.
            if not self._written:
                raise
            if not self._behind:
                log.warning("stack.json could not be written: %s", error)
            self._behind, self._again = True, time.monotonic() + WRITE_AGAIN
        self._written = True
        self._on_record(self.record)

    def _catch_up(self) -> None:
        """Write what could not be written, as soon as it can: whoever waits for this stack waits for that."""
        if self._behind and time.monotonic() >= self._again:
            self._write()

    def _enter(self, state: str, message: str = "") -> None:
        self.record.state, self.record.message = state, message
        log.info("stack %s %s", state, message)
        self._write()

    def run(
        self,
        *,
        on_up: Callable[[], None] = lambda: None,
        each: Callable[[], None] = lambda: None,
    ) -> None:
        """Start, say `on_up`, watch until a signal asks for the end, stop. Raises StackError when it cannot start.

        Whatever happens, no process is left when this returns.
        """

        def look() -> None:
            self._catch_up()
            each()

        with Signals() as signals, held(self.plan.ports):
            try:
                self._enter("starting")
                if self.supervisor.start(signals.go_on):
                    self._enter("up")
                    on_up()
                    self.supervisor.watch(signals.go_on, look)
            except StackError as error:
                self._finish("failed", str(error))
                raise
            except BaseException as error:
                log.exception("the supervisor failed")
                self._finish("failed", repr(error))
                raise
            self._finish("stopped", "")

    def _finish(self, state: str, message: str) -> None:
        self._enter("stopping")
        self.supervisor.stop()
        self._enter(state, message)


def tidy(var: Path) -> int:
    """End what an earlier run left behind; returns the number of processes. Call it holding the lock."""
    record = Record.read(var)
    if not record.var or record.supervisor.get("pid") == os.getpid():
        return 0
    return clean(record)
