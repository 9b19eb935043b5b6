"""One child process: born with the launcher, in a session of its own, known beyond doubt by pid and start time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from embedded.paths import ROOT

Result = TypeVar("Result")

LOG_LIMIT = 10 * 1024 * 1024
LOGS_KEPT = 3

_nursery: ThreadPoolExecutor | None = None


def _in_nursery(function: Callable[[], Result]) -> Result:
    """Run `function` in the one thread that starts every child.

    The kernel ties a child's death signal to the thread that made it: were a child made by some short-lived
    thread of a caller, it would be killed when that thread ends.
    """
    global _nursery
    if _nursery is None:
        _nursery = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nursery")
    return _nursery.submit(function).result()


@dataclass(frozen=True)
class Account:
    """A system user a child runs as; only root can change users."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Identity:
    """A process that cannot be confused with a later one of the same pid; `started` in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Who has this pid now; None when nobody, or only what is left of a dead process, has it."""
        stat = _stat(pid)
        return None if stat is None or stat.state in "ZX" else cls(pid, stat.started)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    fields = line[line.rindex(")") + 2 :].split()  # the name before it may hold spaces and brackets
    return _Stat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def family(root: int) -> list[Identity]:
    """The processes of the session that `root` leads, and all its descendants whatever their session.

    PostgreSQL gives each backend a session of its own; what a dead leader leaves behind has another parent but
    still its session. Together both find everything.
    """
    table = {
        int(entry.name): stat
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None and stat.state not in "ZX"
    }
    found = {pid for pid, stat in table.items() if pid == root or stat.session == root}
    while more := {pid for pid, stat in table.items() if stat.parent in found} - found:
        found |= more
    return [Identity(pid, table[pid].started) for pid in sorted(found)]


def send(identity: Identity, number: int) -> None:
    """Send a signal to this very process; nothing happens when it is gone."""
    if identity.alive():
        with suppress(ProcessLookupError):
            os.kill(identity.pid, number)


def boot_id() -> str:
    """Changes with every start of the machine; start times of processes are comparable only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def rotate(log: Path) -> None:
    """Move a log that has grown over 10 MiB to `.1`, the one before to `.2`, and so on; three are kept."""
    if not log.exists() or log.stat().st_size < LOG_LIMIT:
        return
    for number in range(LOGS_KEPT, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
        if newer.exists():
            newer.replace(older)


class Process:
    """A running child. Its output goes to `log`, appended."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path = ROOT,
        death_signal: int = signal.SIGKILL,
        account: Account | None = None,
    ) -> None:
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
        who = (account.uid, account.gid) if account else (-1, -1)
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        arguments: dict[str, Any] = {"env": dict(environment), "cwd": cwd, "stdin": subprocess.DEVNULL}
        with log.open("ab") as output:
            self._popen = _in_nursery(
                lambda: subprocess.Popen(
                    [*launcher, str(os.getpid()), str(int(death_signal)), *map(str, who), *command],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **arguments,
                )
            )
        self.pid = self._popen.pid
        stat = _stat(self.pid)
        self.identity = Identity(self.pid, stat.started if stat else -1)
        self.born = time.time()

    def exit_code(self) -> int | None:
        """None while it runs, else its exit code; minus the number of the signal that ended it."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        if self.exit_code() is None:
            self._popen.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to the process and to all of its family, also when it has died itself."""
        for member in family(self.pid):
            send(member, number)

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for the end; the exit code, or None when it still runs."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
