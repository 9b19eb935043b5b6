"""A stack for tests: the same engines and processes, started by the test run, on a data folder of its own.

    with start_stack(Path("var-test")) as stack:          # engines; apps=True adds Nova's own processes
        os.environ.update(stack.env)
        stack.engine("kafka").kill()                      # SIGKILL; nobody heals it
        stack.engine("kafka").start()                     # the same port, the same data

Everything stops at the end of the block, at the end of the process, and, when that was killed, by the kernel.
"""

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedded import jars, ports, preflight
from embedded.errors import StackError
from embedded.paths import ROOT
from embedded.process import boot_id, family, send
from embedded.record import Record, describe, myself
from embedded.runner import lock, tidy
from embedded.service import Service
from embedded.stack import Plan, plan
from embedded.supervisor import Supervisor
from embedded.unit import READY, State, Unit

log = logging.getLogger("embedded")


class Part:
    """One part in a test's hands. All methods block until what they say is so; seconds where a time is given."""

    def __init__(self, unit: Unit, guard: threading.RLock) -> None:
        self._unit, self._guard = unit, guard

    @property
    def service(self) -> Service:
        """What it is: its title, its address, and for an engine its url or servers."""
        return self._unit.service

    @property
    def pid(self) -> int | None:
        """Its process, while that runs."""
        process = self._unit.process
        return process.pid if process is not None and process.exit_code() is None else None

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self._unit.log_file

    def healthy(self) -> bool:
        """Whether it answers right now."""
        return self._unit.service.healthy()

    def start(self, timeout: float = 120.0) -> None:
        """Start it on the port and the data it had, and wait until it answers. Raises StackError when it does not."""
        with self._guard:
            self._reap()
            self._unit.begin()
            if not self._unit.finish(lambda unit: unit.state in READY, timeout):
                reason = self._unit.reason or self._unit.last_words()
                raise StackError(f"{self._unit.name} did not start again: {reason}")

    def stop(self) -> None:
        """Stop it as `make down` would."""
        with self._guard:
            self._unit.stop()
            self._unit.finish(lambda unit: unit.state in (State.STOPPED, State.FAILED), self.service.stop_grace + 10)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send SIGKILL to it and to its children, all at once, and wait until they are gone."""
        with self._guard:
            if self._unit.process is None:
                return
            members = family(self._unit.process.pid)
            self._unit.process.signal_all(number)
            self._reap()
            while any(member.alive() for member in members):
                time.sleep(0.01)

    def freeze(self) -> None:
        """SIGSTOP: it holds its ports and connections but answers nobody."""
        if self.pid:
            for member in family(self.pid):
                send(member, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        if self.pid:
            for member in reversed(family(self.pid)):
                send(member, signal.SIGCONT)

    def _reap(self) -> None:
        if self._unit.process is not None and self._unit.state is State.UP:
            self._unit.process.signal_all(signal.SIGKILL)
            self._unit.process.wait(10)
            self._unit.state = State.STOPPED


class Stack:
    """A running stack: `env` is what settings read, `ports` says where each part listens."""

    def __init__(self, laid_out: Plan, supervisor: Supervisor) -> None:
        self.var, self.ports, self.env = laid_out.var, laid_out.ports, laid_out.env
        self._supervisor = supervisor
        self._guard = threading.RLock()
        self.parts = {name: Part(unit, self._guard) for name, unit in supervisor.units.items()}

    def engine(self, name: str) -> Part:
        """postgres, redis, clickhouse, kafka or connect; with apps=True also web, worker, cdc-consumer and so on."""
        return self.parts[name]

    @property
    def url(self) -> str:
        """Where the web server listens."""
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def units(self) -> Mapping[str, Unit]:
        """The parts as the supervisor has them; only for the thread that runs `watch`."""
        return self._supervisor.units

    def watch(self, wanted: Callable[[], bool], each: Callable[[], None]) -> None:
        """Heal what dies, as `make up` does, for as long as `wanted` holds; `each` is called on every look."""
        self._supervisor.watch(wanted, each)

    def stop(self) -> None:
        """Stop everything; safe to call twice."""
        with self._guard:
            self._supervisor.stop()


@contextmanager
def start_stack(
    var: Path | str, apps: bool = False, *, demo: bool = False, shape: Callable[[Plan], Plan] = lambda made: made
) -> Iterator[Stack]:
    """Start a stack in `var` (relative to the clone) and stop it at the end of the block.

    shape: may change what is started. Parts whose URL is in the environment are used from there. Raises StackError when
    something cannot start; nothing is left then.
    """
    folder = (ROOT / var).resolve()
    preflight.check(folder, disk=1.0, memory=1.5)
    jars.ensure()
    with ExitStack() as ending:
        ending.enter_context(lock(folder))
        tidy(folder)
        laid_out = shape(plan(folder, apps=apps, demo=demo))
        ending.enter_context(ports.held(laid_out.ports))
        supervisor = Supervisor(laid_out.services, folder / "log", lambda: _write(record, supervisor))
        record = Record(
            state="test", var=str(folder), boot=boot_id(), supervisor=myself(), ports=laid_out.ports, env=laid_out.env
        )
        stack = Stack(laid_out, supervisor)
        owner = os.getpid()

        def stop() -> None:
            if os.getpid() == owner:  # a forked child of the test run must not stop what its parent uses
                stack.stop()
                record.state = "stopped"
                _write(record, supervisor)

        atexit.register(stop)
        ending.callback(atexit.unregister, stop)
        ending.callback(stop)
        supervisor.start()
        yield stack


def _write(record: Record, supervisor: Supervisor) -> None:
    record.parts = {unit.name: describe(unit) for unit in supervisor.units.values()}
    record.write()
