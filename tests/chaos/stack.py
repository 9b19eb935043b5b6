"""The stack that is maltreated: the real engines, the web server, two events consumers and one for the changes."""

import os
import shutil
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from embedded.errors import StackError
from embedded.ports import assign
from embedded.runner import lock, tidy
from embedded.service import Program
from embedded.stack import ENGINES, Plan
from embedded.testing import Stack, start_stack
from tests.chaos.armed import Trap
from tests.chaos.plan import CONSUMERS, Ambush

# These neither store nor answer anything that is judged here, and the machine is small.
_LEFT_OUT = ("worker", "beat", "stream")
DIARY = "failpoints.jsonl"


class Consumer(Program):
    """A consumer whose next starts may be ambushed."""

    def __init__(self, model: Program, name: str, port: int, diary: Path) -> None:
        """A process like `model`, under another name and with a health port of its own."""
        super().__init__(
            *(name, f"{model.title} ({name})", model.command()),
            environment=model.environment() | {"HEALTH_PORT": str(port)},
            needs=model.needs,
            health_url=f"http://127.0.0.1:{port}/healthz",
            stop_grace=model.stop_grace,
        )
        self.ambushes: deque[Ambush] = deque()
        self._diary = diary

    def command(self) -> list[str]:
        """The management command, in a trap while ambushes are left."""
        python, manage, *command = super().command()
        if not self.ambushes:
            return [python, manage, *command]
        next_ = self.ambushes.popleft()
        point = next_.point
        trap = Trap(
            *(self.name, point.name, point.step, point.when),
            *(next_.nth, next_.freeze, next_.delay, str(self._diary)),
        )
        return [sys.executable, "-m", "tests.chaos.armed", trap.dump(), *command]


def _shaped(made: Plan) -> Plan:
    """The plan with our own consumers in place of those of a trial."""
    ports = assign([f"chaos-{name}" for name in CONSUMERS], made.var / "chaos-ports.json")
    services = []
    for service in made.services:
        if service.name in ("events-consumer", "cdc-consumer"):
            assert isinstance(service, Program)
            kind = service.name.removesuffix("-consumer")
            services += [
                Consumer(service, name, ports[f"chaos-{name}"], made.var / DIARY)
                for name in CONSUMERS
                if name.startswith(kind)
            ]
        elif service.name not in _LEFT_OUT:
            services.append(service)
    return replace(made, services=services)


@contextmanager
def maltreated(var: Path) -> Iterator[Stack]:
    """A stack with nothing in it, all parts up; stopped at the end of the block.

    Engines that the environment names are never used: they are not ours to kill. Raises StackError.
    """
    for variable, _ in ENGINES.values():
        os.environ.pop(variable, None)
    os.environ.pop("REDIS_CACHE_URL", None)
    with lock(var):
        tidy(var)
        for left in var.iterdir():
            if left.name != "lock":
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    with start_stack(var, apps=True, shape=_shaped) as stack:
        yield stack


class Supervision:
    """Heals the stack on a thread of its own and calls `each` on every look; use as a context manager.

    Should that thread fail, `check` raises what it failed with.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._end = threading.Event()
        self._error: BaseException | None = None
        self.each = lambda: None
        self._thread = threading.Thread(target=self._run, name="supervision")

    def __enter__(self) -> "Supervision":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._stack.watch(lambda: not self._end.is_set(), lambda: self.each())
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raise StackError when nobody looks after the stack any more."""
        if self._error is not None:
            raise StackError(f"the supervisor failed: {self._error!r}") from self._error
