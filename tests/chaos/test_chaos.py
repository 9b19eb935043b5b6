"""The short form of `make chaos`, with a seed whose strikes are known: every engine and every consumer is hit.

It runs on a stack of its own, as a command, since it kills whatever it has.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.apps import ROOT
from tests.chaos import plan

SECONDS, SEED, EVERY = 24, 7, 1.8


def test_the_seed_hits_every_part() -> None:
    strikes = plan.draw(Random(SEED), SECONDS, EVERY)
    assert {strike.deed for strike in strikes} == {"kill", "freeze", "arm"}
    assert {strike.part for strike in strikes} == set(plan.PARTS)


def test_nothing_is_lost_doubled_or_changed(tmp_path: Path) -> None:
    options = {
        "--seconds": SECONDS,
        "--seed": SEED,
        "--every": EVERY,
        "--events-per-second": 300,
        "--changes-per-second": 20,
        "--heal": 150,
    }
    arguments = [str(word) for option in options.items() for word in option]
    var = os.environ.get("NOVA_TEST_VAR", "var-test")
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments],
        cwd=ROOT,
        env={**os.environ, "NOVA_VAR": var},
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["lost"], figures["doubled"], figures["drifted"]) == (0, 0, 0)
    assert figures["acknowledged"] > SECONDS * 100
    assert figures["compared"]["rows"] > 1000
    assert sum(figures["killed"].values()) + sum(figures["frozen"].values()) >= 5
    # The same judge, shown what was spoilt on purpose.
    control = figures["control"]
    assert (control["lost"], control["doubled"], control["copies"]) == (1, 1, {"follows_cdc": 1})
    assert control["aggregates"]
