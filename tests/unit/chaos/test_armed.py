"""Traps: each failpoint's step exists, and a trap goes off once, at its time, in a process that it really ends."""

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.apps import ROOT
from tests.chaos import failpoints
from tests.chaos.armed import Trap
from tests.chaos.failpoints import Failpoint, When

# Three steps; each says that it was done.
_PROGRAM = """
import sys, textwrap
from tests.chaos.armed import Trap
import json

textwrap.dedent = lambda number: print(number, flush=True)
Trap(**json.loads(sys.argv[1])).install()
for number in range(3):
    textwrap.dedent(number)
"""


@pytest.mark.parametrize("point", {*failpoints.EVENTS, *failpoints.CDC}, ids=str)
def test_the_step_of_a_failpoint_exists(point: Failpoint) -> None:
    module, _, path = point.step.partition(":")
    step = import_module(module)
    for name in path.split("."):
        step = getattr(step, name)
    assert callable(step)


def start(diary: Path, when: When, freeze: float = 0.0) -> subprocess.Popen[str]:
    """A process whose second step is trapped."""
    trap = Trap("cdc", "a step", "textwrap:dedent", when, nth=2, freeze=freeze, delay=0.0, diary=str(diary))
    return subprocess.Popen([sys.executable, "-c", _PROGRAM, trap.dump()], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("when", "steps"), [("before", "0"), ("after", "01")])
def test_it_dies_before_or_after_its_step(tmp_path: Path, when: When, steps: str) -> None:
    process = start(tmp_path / "diary", when)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, "".join(said.split())) == (-signal.SIGKILL, steps)
    assert json.loads((tmp_path / "diary").read_text())["point"] == "a step"


def test_it_sleeps_and_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path / "diary", "before", freeze=0.3)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, "".join(said.split())) == (0, "012")
