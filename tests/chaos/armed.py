"""A consumer that dies or falls asleep at a named step: `python -m tests.chaos.armed '{…}' run_events_consumer`.

The first argument is a `Trap` as JSON. The step is wrapped in this process only, then the real management command runs.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from tests.chaos.failpoints import When


@dataclass(frozen=True)
class Trap:
    """Where, when and how. nth: at the how-manieth time; freeze: seconds of sleep, 0 to be killed; delay: seconds into
    a call that is struck `during` it; diary: the file that is told, since a killed process tells nothing itself."""

    consumer: str
    point: str
    step: str
    when: When
    nth: int
    freeze: float
    delay: float
    diary: str

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def install(self) -> None:
        """Put the trap around its step. Raises AttributeError when there is no such step any more."""
        module, _, path = self.step.partition(":")
        *owners, name = path.split(".")
        owner: Any = import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        lock, calls = threading.Lock(), 0

        def trapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            with lock:
                calls += 1
                now = calls == self.nth
            if now and self.when == "before":
                self.strike()
            if now and self.when == "during":
                threading.Timer(self.delay, self.strike).start()
            answer = step(*arguments, **options)
            if now and self.when == "after":
                self.strike()
            return answer

        return trapped

    def strike(self) -> None:
        """Die as by `kill -9`, or stop as by `kill -STOP` until a child that sleeps meanwhile lets us go on."""
        said = json.dumps({"consumer": self.consumer, "point": self.point, "freeze": self.freeze, "at": time.time()})
        with open(self.diary, "a") as diary:
            diary.write(said + "\n")
        me = os.getpid()
        if not self.freeze:
            os.kill(me, signal.SIGKILL)
        subprocess.Popen(["sh", "-c", f"sleep {self.freeze}; kill -CONT {me}"])
        os.kill(me, signal.SIGSTOP)


def main() -> None:
    given, *command = sys.argv[1:]
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    Trap(**json.loads(given)).install()
    execute_from_command_line(["manage.py", *command])


if __name__ == "__main__":
    main()
