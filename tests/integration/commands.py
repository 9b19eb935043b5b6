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


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start `manage.py …`; its output is to be read with `communicate`."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
