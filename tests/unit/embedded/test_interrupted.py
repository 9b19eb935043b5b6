"""A command that is told to end first stops what it started, and says by its exit code that it did not finish."""

import signal
import subprocess
import sys

import pytest

from embedded.paths import ROOT

_COMMAND = """
import sys, time
from benchmarks import ending

def main():
    try:
        print("at work", flush=True)
        time.sleep(60)
    except RuntimeError:
        return 1
    finally:
        print("stopped", flush=True)
        time.sleep(0.5)
        print("wholly", flush=True)

sys.exit(ending.run(main))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_started_is_stopped(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", _COMMAND], cwd=ROOT, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "at work\n"
        command.send_signal(number)
        assert command.stdout.readline() == "stopped\n"
        # A second one does not keep it from stopping the rest.
        command.send_signal(number)
        assert command.stdout.read() == "wholly\n"
    assert command.returncode == 130
