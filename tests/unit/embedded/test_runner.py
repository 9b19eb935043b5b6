"""What a supervisor does when its folder takes nothing any more."""

import errno
import os
import signal
from pathlib import Path

import pytest

from embedded import cli
from embedded.record import Record
from embedded.runner import Runner
from embedded.stack import Plan
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
