"""What a supervisor does when its folder takes nothing any more, or when it was stopped itself."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedded import cli
from embedded.process import Identity, boot_id
from embedded.record import Record
from embedded.runner import Runner
from embedded.stack import Plan
from tests.client import wait_until
from tests.unit.embedded.test_supervisor import Fake


def _full(record: Record) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_nothing_and_hinders_no_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(Plan(tmp_path, [Fake("part")], {}, {}))
    part = runner.supervisor.units["part"]
    looks = []

    def fill() -> None:
        monkeypatch.setattr(Record, "write", _full)
        part.process.signal(signal.SIGKILL)

    def each() -> None:
        looks.append(part.state)
        if part.restarts and part.state == "up":
            os.kill(os.getpid(), signal.SIGTERM)

    runner.run(on_up=fill, each=each)
    assert part.restarts == 1
    assert part.state == "stopped"
    assert part.process.wait(5) is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_takes_nothing_is_named_with_advice(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("NOVA_VAR", str(tmp_path))
    monkeypatch.setattr(cli, "prepare", refused)
    assert cli.main(["up"]) == 1
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert "NOVA_VAR" in said
    assert "None" not in said


def test_a_demo_that_was_suspended_is_stopped_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z, and then make down: killed after a minute and a half, it could not stop its engines one by one."""
    script = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        identity = Identity.of(demo.pid)
        assert identity is not None
        supervisor = {"pid": identity.pid, "started": identity.started}
        Record("up", var=str(tmp_path), boot=boot_id(), supervisor=supervisor).write()
        os.kill(demo.pid, signal.SIGSTOP)
        wait_until(lambda: " T " in Path(f"/proc/{demo.pid}/stat").read_text(), "it stands still")
        monkeypatch.setenv("NOVA_VAR", str(tmp_path))
        monkeypatch.setattr(cli, "STOP_SECONDS", 3.0)
        assert cli.main(["down"]) == 0
        assert demo.wait(5) == 7
