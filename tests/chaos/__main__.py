"""make chaos: a whole stack at work while its parts are killed and frozen; then: was anything lost, doubled, changed?

Last line of stdout: all figures as JSON.
"""

import argparse
import json
import logging
import os
import random
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from embedded.errors import StackError
from embedded.interrupted import EXIT_INTERRUPTED, Interrupted, heed_signals
from embedded.paths import default_var
from embedded.testing import Stack
from tests.chaos import report
from tests.chaos.report import EXIT_CODES, EXIT_NOT_STARTED, Findings
from tests.chaos.stack import maltreated


def _run(stack: Stack, given: argparse.Namespace, found: Findings, progress: Progress) -> None:
    """Set Django up for this stack, then do it."""
    os.environ.update(stack.env)
    # Only what goes wrong in this process; the parts have logs of their own.
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    import django

    django.setup()
    # That the broker is away is no news here.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    from tests.chaos.run import Run

    Run(stack, given, found, progress).whole()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "make chaos", description=__doc__, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300, help="how long the stack is loaded and struck (300)")
    parser.add_argument("--seed", type=int, help="the same strikes at the same seconds (random; it is printed)")
    parser.add_argument("--events-per-second", type=float, default=1000, help="through POST /api/events (1000)")
    parser.add_argument("--changes-per-second", type=float, default=50, help="in PostgreSQL (50)")
    parser.add_argument("--every", type=float, default=4, help="seconds from strike to strike, on average (4)")
    parser.add_argument("--heal", type=float, default=240, help="seconds that healing may take (240)")
    parser.add_argument("--spoil", action="store_true", help="lose, double and drift a row before the verdict: exit 1")
    parser.add_argument("--json", action="store_true", help="only the line of JSON on stdout, the tables on stderr")
    parser.add_argument("--keep", action="store_true", help="keep the data folder, with every log")
    given = parser.parse_args()
    for name in ("seconds", "events_per_second", "changes_per_second", "every", "heal"):
        if getattr(given, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    if given.seed is None:
        given.seed = random.randrange(1_000_000)
    return given


def main() -> int:
    given = _arguments()
    heed_signals()
    console, out = Console(stderr=True), Console(width=120, stderr=given.json)
    console.print(f"seed {given.seed}")
    var: Path = default_var() / "chaos"
    var.mkdir(parents=True, exist_ok=True)
    found = Findings(given.seed, given.seconds)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            starting = progress.add_task("starting the stack", total=None)
            with maltreated(var) as stack:
                progress.update(starting, total=1, completed=1)
                _run(stack, given, found, progress)
    except StackError as error:
        console.print(f"[red]{error}", soft_wrap=True)
        return EXIT_NOT_STARTED
    except Interrupted:
        console.print("interrupted: everything is stopped, nothing was judged")
        return EXIT_INTERRUPTED
    report.show(found, out)
    print(json.dumps(report.figures(found)), flush=True)
    if given.keep or found.exit_code:
        console.print(f"logs and data: {var}", soft_wrap=True)
    else:
        shutil.rmtree(var, ignore_errors=True)
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
