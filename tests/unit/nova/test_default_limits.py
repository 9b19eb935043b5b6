"""How many calls a minute a member may make, when nobody has set anything else."""

import os
import subprocess
import sys

from tests.apps import ROOT

DEFAULTS = {"feed": 60, "why": 60, "trending": 30, "discover": 20, "events": 100, "stream": 120, "community": 120}


def test_the_limits_that_are_documented_are_the_defaults() -> None:
    program = "from nova.settings.limits import RATE_LIMITS; print(sorted(RATE_LIMITS.items()))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMIT_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(sorted(DEFAULTS.items()))
