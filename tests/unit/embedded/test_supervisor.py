import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.errors import StackError
from embedded.process import Identity, boot_id, family
from embedded.record import Record, clean, describe, myself
from embedded.service import Program, Service, Startable
from embedded.supervisor import Supervisor
from embedded.unit import State
from tests.client import wait_until


class Fake(Startable):
    """A shell command as a part; healthy once `ready` says so."""

    def __init__(
        self,
        name: str,
        script: str = "exec sleep 60",
        *,
        needs: tuple[str, ...] = (),
        step: bool = False,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = self.title = name
        self.needs, self.one_shot, self._script, self._ready = needs, step, script, ready
        self.stop_grace = 0.3

    def command(self) -> list[str]:
        return ["/bin/sh", "-c", self._script]

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def healthy(self) -> bool:
        return self._ready()


Make = Callable[..., Supervisor]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Supervisor] = []

    def build(*services: Service) -> Supervisor:
        made.append(Supervisor(services, tmp_path))
        return made[-1]

    yield build
    for supervisor in made:
        supervisor.stop()
        processes = [unit.process for unit in supervisor.units.values() if unit.process is not None]
        # One that failed was killed, which a busy machine takes a moment for.
        assert all(process.wait(10) is not None for process in processes)


def look_until(supervisor: Supervisor, goal: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    supervisor.watch(lambda: not goal() and time.monotonic() < until)
    assert goal()


def test_parts_start_after_what_they_need_and_stop_before_it(make: Make, tmp_path: Path) -> None:
    order = tmp_path / "order"
    trap = "trap 'echo -{0} >> {1}; exit' TERM; echo +{0} >> {1}; while :; do sleep 0.02; done"
    supervisor = make(
        Fake("app", trap.format("app", order), needs=("step",)),
        Fake("step", f"echo +step >> {order}", needs=("engine",), step=True),
        Fake("engine", trap.format("engine", order)),
    )
    for service in ("app", "engine"):
        supervisor.units[service].service.stop_grace = 5
    assert supervisor.start()
    assert supervisor.units["step"].state is State.DONE
    look_until(supervisor, lambda: "+app" in order.read_text())
    supervisor.stop()
    assert order.read_text().split() == ["+engine", "+step", "+app", "-app", "-engine"]


def test_what_dies_is_started_again_with_what_it_left_behind_gone(make: Make) -> None:
    supervisor = make(Fake("part", "sleep 60 & exec sleep 60"))
    supervisor.start()
    unit = supervisor.units["part"]
    assert unit.process is not None
    first = unit.process.pid
    os.kill(first, signal.SIGKILL)
    look_until(supervisor, lambda: unit.state is State.UP and unit.restarts == 1)
    assert unit.process.pid != first
    assert family(first) == []


def test_each_death_is_followed_by_a_longer_rest(make: Make) -> None:
    supervisor = make(Fake("part", "exit 1"))
    unit = supervisor.units["part"]
    unit._was_up = True  # as after a good start: it is not given up
    look_until(supervisor, lambda: unit.restarts == 3)
    assert "starting it again in 1 s" in unit.reason


def test_a_part_that_never_starts_fails_with_its_last_words(make: Make) -> None:
    supervisor = make(Fake("part", "echo no such thing; exit 7", ready=lambda: False))
    with pytest.raises(StackError, match=r"(?s)part did not start: ended with code 7.no such thing"):
        supervisor.start()


def test_a_part_that_comes_up_and_dies_again_ends_the_start(make: Make) -> None:
    supervisor = make(Fake("part", "sleep 0.1; exit 1"), Fake("other", ready=lambda: False))
    with pytest.raises(StackError, match="part died 5 times"):
        supervisor.start()


def test_a_missing_library_is_named_with_advice(make: Make) -> None:
    words = "x: error while loading shared libraries: libz.so.1: cannot open shared object file: No such file"
    supervisor = make(Fake("part", f"echo '{words}'; exit 127", ready=lambda: False))
    with pytest.raises(StackError, match=r"system library libz\.so\.1 is missing"):
        supervisor.start()


def test_a_step_that_fails_is_not_tried_again(make: Make) -> None:
    supervisor = make(Fake("step", "exit 1", step=True), Fake("after", needs=("step",)))
    with pytest.raises(StackError, match="step did not start: ended with code 1"):
        supervisor.start()
    assert supervisor.units["step"].restarts == 0
    assert supervisor.units["after"].process is None


def test_what_does_not_answer_in_time_fails(make: Make) -> None:
    service = Fake("part", ready=lambda: False)
    service.start_timeout = 0.3
    with pytest.raises(StackError, match="did not answer within"):
        make(service).start()


def test_what_does_not_end_is_killed(make: Make) -> None:
    supervisor = make(Fake("part", "trap '' TERM; while :; do sleep 0.1; done"))
    supervisor.start()
    time.sleep(0.3)
    supervisor.stop()
    unit = supervisor.units["part"]
    assert unit.process is not None
    assert unit.process.exit_code() == -signal.SIGKILL
    assert unit.state is State.STOPPED


def test_a_frozen_part_can_be_stopped(make: Make) -> None:
    supervisor = make(Fake("part"))
    supervisor.start()
    unit = supervisor.units["part"]
    assert unit.process is not None
    unit.process.signal(signal.SIGSTOP)
    supervisor.stop()
    assert unit.process.exit_code() == -signal.SIGTERM


def test_an_end_that_is_wished_for_during_the_start_is_heeded(make: Make) -> None:
    assert make(Fake("part", ready=lambda: False)).start(lambda: False) is False


def test_metrics_of_dead_processes_are_wiped(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_text("old")
    Program("web", "web", ["true"], environment={}, wiped=tmp_path).prepare()
    assert list(tmp_path.iterdir()) == []


def recorded(supervisor: Supervisor, var: Path) -> Record:
    parts = {name: describe(unit) for name, unit in supervisor.units.items()}
    return Record("up", var=str(var), boot=boot_id(), supervisor=myself(), parts=parts)


def test_leftovers_are_ended(make: Make, tmp_path: Path) -> None:
    supervisor = make(Fake("part", "sleep 60 & exec sleep 60"))
    supervisor.start()
    recorded(supervisor, tmp_path).write()
    record = Record.read(tmp_path)
    # The part is up before its shell has started the other one.
    wait_until(lambda: len(record.leftovers()) == 2, "both processes")
    assert clean(record, grace=2) == 2
    assert record.leftovers() == []


def test_strangers_are_left_alone(make: Make, tmp_path: Path) -> None:
    supervisor = make(Fake("part"))
    supervisor.start()
    record = recorded(supervisor, tmp_path)
    pid, started = record.parts["part"]["pid"], record.parts["part"]["started"]
    record.parts["part"]["started"] = started - 1  # the pid was given to somebody else since
    assert record.leftovers() == []
    record.parts["part"]["started"], record.boot = started, "another boot"
    assert record.leftovers() == []
    assert clean(record) == 0
    assert Identity(pid, started).alive()
