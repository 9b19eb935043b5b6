"""From a change to its effect, through the whole of Nova: `manage.py measure_path` on processes of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.feed import serving
from benchmarks.ingest import ours
from benchmarks.ingest.bench import Bench, wait_until
from embedded.paths import ROOT
from embedded.service import http_ok


def measure(bench: Bench, database: str, tries: int) -> Mapping[str, Any]:
    """Each path in quantiles, ms, as the command says them. Raises RuntimeError when the command fails."""
    bench.new_topics()
    bench.manage("setup_cdc")
    with (
        ours.consumers(bench, 1, database, ours.new_group()),
        _cdc(bench, database),
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


@contextmanager
def _cdc(bench: Bench, database: str) -> Iterator[None]:
    (port,) = bench.ports("cdc")
    environment = bench.environment(database, HEALTH_PORT=str(port))
    child = bench.process("cdc", sys.executable, "manage.py", "run_cdc_consumer", env=environment)
    try:
        wait_until(lambda: child.exit_code() is not None or http_ok(f"http://127.0.0.1:{port}/healthz"), "CDC consumer")
        yield
    finally:
        child.signal(15)
        child.wait(40)
        child.signal_all(9)
