import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedded import process
from embedded.process import Identity, Process, family


def gone(identity: Identity, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while identity.alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def start(command: list[str], tmp_path: Path, death_signal: int = signal.SIGKILL) -> Process:
    return Process(command, environment=dict(os.environ), log=tmp_path / "out.log", death_signal=death_signal)


def test_a_pid_that_was_given_to_another_process_is_not_it() -> None:
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Identity(me.pid, me.started - 1).alive()


def test_output_and_exit_code(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "echo said; exit 3"], tmp_path)
    assert child.wait(10) == 3
    assert (tmp_path / "out.log").read_text() == "said\n"


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert start(["/no/such/program"], tmp_path).wait(10) == 126
    assert "cannot start /no/such/program" in (tmp_path / "out.log").read_text()


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    children: list[Process] = []
    asking = threading.Thread(target=lambda: children.append(start(["sleep", "60"], tmp_path)))
    asking.start()
    asking.join()
    assert children[0].wait(0.5) is None
    children[0].signal_all(signal.SIGKILL)
    assert children[0].wait(5) == -signal.SIGKILL


def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from embedded.process import Process
child = Process(["sleep", "60"], environment=dict(os.environ), log=Path({str(tmp_path / "out.log")!r}))
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    child = Identity.of(pid)
    assert child is not None
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_the_family_holds_children_with_sessions_of_their_own_and_orphans(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "setsid sleep 61 & sleep 62 & wait"], tmp_path)
    until = time.monotonic() + 5
    while len(members := family(child.pid)) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(members) == 3
    child.signal_all(signal.SIGKILL)
    assert all(gone(member) for member in members)


def test_a_large_log_is_rotated_and_few_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 3)
    log = tmp_path / "part.log"
    for number in range(6):
        log.write_text(f"{number}long")
        process.rotate(log)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.log.1", "part.log.2", "part.log.3"]
    assert (tmp_path / "part.log.1").read_text() == "5long"
