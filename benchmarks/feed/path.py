"""From a change to its effect, through the whole of Nova: `manage.py measure_path` on processes of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.feed import serving
from benchmarks.ingest import ours
from benchmarks.ingest.bench import Bench
from embedded.paths import ROOT


def measure(bench: Bench, database: str, tries: int) -> Mapping[str, Any]:
    """Each path in quantiles, ms, as the command says them. Raises RuntimeError when the command fails."""
    bench.new_topics()
    bench.manage("setup_cdc")
    with (
        ours.consumers(bench, 1, database, ours.new_group()),
        bench.cdc_consumer(database),
        serving.nova(bench, workers=2) as (port, _),
    ):
        command = [sys.executable, "manage.py", "measure_path", "--tries", str(tries)]
        done = subprocess.run(
            [*command, "--url", f"http://127.0.0.1:{port}"],
            cwd=ROOT,
            env=bench.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"measure_path failed:\n{done.stdout}{done.stderr}")
    found: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
