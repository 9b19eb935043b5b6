"""What a supervisor does when its folder takes nothing any more, or when it was stopped itself."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded import cli, ports
from embedded.process import Identity, boot_id
from embedded.record import Record
from embedded.runner import Runner, lock
from embedded.stack import ENGINES, Plan, plan
from embedded.view import StartView
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


def test_the_ports_of_a_stack_are_its_own_while_it_runs(tmp_path: Path) -> None:
    chosen = ports.assign(("web",), tmp_path / "ports.json")
    runner = Runner(Plan(tmp_path, [Fake("part")], chosen, {}))
    free = []

    def look() -> None:
        free.append(ports.is_free(chosen["web"]))
        os.kill(os.getpid(), signal.SIGTERM)

    runner.run(on_up=look)
    assert free == [False]
    assert ports.is_free(chosen["web"])


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


def test_what_a_full_disk_kept_from_being_said_is_said_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is up, for one: a second make up waits for that."""
    runner = Runner(Plan(tmp_path, [Fake("part")], {}, {}))
    write, refused, seen = Record.write, [], []

    def full_once_up(record: Record) -> None:
        if record.state == "up" and not refused:
            refused.append(record.state)
            _full(record)
        write(record)

    def each() -> None:
        seen.append(Record.read(tmp_path).state)
        if "up" in seen or len(seen) > 50:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Record, "write", full_once_up)
    monkeypatch.setattr("embedded.runner.WRITE_AGAIN", 0.0)
    runner.run(each=each)
    assert refused
    assert "up" in seen


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is taken for the supervisor of this folder."""
    monkeypatch.setenv("NOVA_VAR", str(tmp_path))
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record_of(process: subprocess.Popen[bytes], var: Path, state: str) -> Record:
    identity = Identity.of(process.pid)
    assert identity is not None
    supervisor = {"pid": identity.pid, "started": identity.started}
    parts = {"web": {"title": "web server", "state": state, "restarts": 0, "took": 0, "address": ""}}
    return Record(state, var=str(var), boot=boot_id(), supervisor=supervisor, ports={"web": 8000}, parts=parts)


def at_its_first_look(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Whoever waits for another one's stack looks at it again and again: `act` comes after the first time."""
    looks = []

    def show(view: StartView, record: Record) -> None:
        looks.append(record.state)
        if len(looks) == 1:
            act()

    monkeypatch.setattr(StartView, "show", show)


def test_up_waits_for_a_stack_that_is_being_stopped_and_starts_it_again(
    another: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(cli, "prepare", lambda var, console: None)
    monkeypatch.setattr(cli, "where", lambda record, console: None)
    monkeypatch.setattr(cli, "_background", lambda var, options: started.append(another.poll()) or Record())
    record_of(another, tmp_path, "stopping").write()
    at_its_first_look(monkeypatch, another.kill)
    assert cli.main(["up"]) == 0
    assert started == [-signal.SIGKILL]


def test_up_waits_for_a_stack_that_another_one_starts(
    another: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record_of(another, tmp_path, "starting").write()
    at_its_first_look(monkeypatch, record_of(another, tmp_path, "up").write)
    assert cli.main(["up"]) == 0
    assert "already up" in capsys.readouterr().out
    assert Record.read(tmp_path).state == "up"


def test_up_waits_for_a_stack_that_another_one_began_to_start_just_before(
    another: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has the folder, and was not heard of yet when we looked."""
    monkeypatch.setattr(cli, "prepare", lambda var, console: record_of(another, tmp_path, "starting").write())
    at_its_first_look(monkeypatch, record_of(another, tmp_path, "up").write)
    with lock(tmp_path):
        assert cli.main(["up"]) == 0
    assert "already up" in capsys.readouterr().out


def test_up_does_not_wait_for_ever(
    another: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "prepare", lambda var, console: None)
    monkeypatch.setattr(cli, "_background", lambda var, options: Record())
    record_of(another, tmp_path, "starting").write()
    monkeypatch.setattr(cli, "SETTLE_SECONDS", -1.0)
    at_its_first_look(monkeypatch, another.kill)  # or nothing would end it
    assert cli.main(["up"]) == 1
    assert "make down" in capsys.readouterr().err


def test_what_would_run_is_what_runs(
    another: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan beside it finds its ports taken: it named others, and they were those of the next start."""
    record = record_of(another, tmp_path, "up")
    record.env = {"STREAM_URL": "http://127.0.0.1:1"}
    record.write()
    given = []

    def become(program: str, command: list[str], env: dict[str, str]) -> None:
        given.append(env["STREAM_URL"])
        raise SystemExit

    monkeypatch.setattr(os, "execvpe", become)
    with pytest.raises(SystemExit):
        cli.main(["run", "--planned", "--", "env"])
    assert given == ["http://127.0.0.1:1"]
    assert not (tmp_path / "ports.json").exists()


def test_only_what_a_stack_made_is_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever chose a folder with other things in it, as their home, lost all of them."""
    monkeypatch.setenv("NOVA_VAR", str(tmp_path))
    (tmp_path / "photos").mkdir()
    (tmp_path / "letter.txt").touch()
    plan(tmp_path, demo=True)
    for name in (*ENGINES, "static", "metrics", "log"):
        (tmp_path / name).mkdir(exist_ok=True)
    Record("stopped", var=str(tmp_path)).write()
    with lock(tmp_path):
        pass
    assert cli.main(["down", "--wipe"]) == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["letter.txt", "photos"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_that_is_ended_ends_what_it_started(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], subprocess.Popen

    def supervisor(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(["sleep", "60"], **options))
        return started[0]

    monkeypatch.setenv("NOVA_VAR", str(tmp_path))
    monkeypatch.setattr(cli, "prepare", lambda var, console: None)
    monkeypatch.setattr(cli.subprocess, "Popen", supervisor)
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: os.kill(os.getpid(), number))
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("it was ended, and nothing else"))
    try:
        assert cli.main(["up"]) == 130
        assert started[0].poll() == -signal.SIGTERM
    finally:
        started[0].kill()
        assert signal.signal(signal.SIGTERM, before) is not signal.default_int_handler
