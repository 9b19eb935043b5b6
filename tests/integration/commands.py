"""Management commands as an operator runs them, in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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


def verify(*arguments: str) -> tuple[int, dict[str, Counts], str]:
    """Exit code, copy → what the printed table says of it, and all that was said."""
    ran = manage("verify_sync", "--patience", "3", *arguments)
    return ran.code, told_by_verify(ran.said), ran.said


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `manage.py …`; its output is to be read with `communicate`."""
    return _started(["manage.py", *arguments], environment)


def changed(constants: Sequence[str], *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The same with other `constants` (`package.module.NAME=number`): what takes a minute otherwise."""
    lines = ["import importlib, sys", "from django.core.management import execute_from_command_line"]
    for constant in constants:
        where, _, value = constant.partition("=")
        module, _, name = where.rpartition(".")
        lines.append(f"setattr(importlib.import_module({module!r}), {name!r}, {value})")
    # Settings must be there before most modules can be imported.
    lines[2:2] = ["import django", "django.setup()"]
    program = "\n".join([*lines, "execute_from_command_line(sys.argv)"])
    return _started(["-c", program, *arguments], {"DJANGO_SETTINGS_MODULE": "nova.settings", **environment})


def _started(program: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
