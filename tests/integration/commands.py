"""Management commands as an operator runs them, in processes of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass

from tests.apps import ROOT


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said on both channels."""

    code: int
    said: str


def manage(*arguments: str, **environment: str) -> Ran:
    """Run `manage.py …` to its end; `environment` is laid over this process's own."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


# missing, extra, different
Counts = tuple[int, int, int]


def told_by_verify(said: str) -> dict[str, Counts]:
    """Copy → how many rows of it differ, from the table that `verify_sync` printed."""
    found: dict[str, Counts] = {}
    for line in said.splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) == 10 and "_" in cells[1]:
            before, more = found.get(cells[1], (0, 0, 0)), [int(cell) for cell in cells[5:8]]
            found[cells[1]] = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
    return found


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `manage.py …`; its output is to be read with `communicate`."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
