"""python -m benchmarks.jobs: the heavy jobs on a stack of its own. Last line of stdout: all figures as JSON.

Exit code 0 when everything was measured, whatever the figures are; 130 when it was interrupted; 1 otherwise.
"""

import argparse
import json
import os
import sys
from io import StringIO

import django
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import ending
from benchmarks.stack import own_stack
from embedded.errors import StackError
from embedded.testing import Stack
from nova.errors import NovaError

_FEWEST = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-jobs", description=__doc__)
    parser.add_argument(
        "--members",
        type=int,
        nargs="+",
        default=[50_000, 200_000, 1_000_000],
        metavar="N",
        help="sizes of the communities",
    )
    parser.add_argument("--posts", type=int, default=200_000, help="posts with reactions in the week of trending")
    parser.add_argument("--keep", action="store_true", help="leave the data folder behind")
    given = parser.parse_args()
    if min(given.members) < _FEWEST:
        parser.error(f"--members: a community has at least {_FEWEST:,}, or it says nothing of a larger one")
    if given.posts < 1:
        parser.error("--posts: there must be some")
    console = Console(stderr=True)
    try:
        with own_stack("bench-jobs", keep=given.keep) as stack:
            os.environ.update(stack.env, DJANGO_SETTINGS_MODULE="nova.settings")
            django.setup()
            measure(stack, sorted(given.members), given.posts, console)
    except (StackError, NovaError) as error:
        console.print(f"[red]{error}")
        return 1
    return 0


def measure(stack: Stack, sizes: list[int], posts: int, console: Console) -> None:
    """Everything, one after the other; writes and prints what came out. Raises a `nova.errors` class."""
    # What follows reads the settings.
    from django.core.management import call_command

    from benchmarks.jobs import community, hot, report, suggested

    pids = {name: part.pid for name, part in stack.parts.items() if part.pid}
    call_command("migrate_clickhouse", stdout=StringIO())
    found = report.Findings(os.cpu_count() or 1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for members in sizes:
            task = progress.add_task(f"making {members:,} members", total=None)
            community.populate(members)
            progress.update(task, description=f"suggestions for {members:,} members", total=members)
            found.suggested.append(
                suggested.run(members, pids, lambda done, task=task: progress.update(task, completed=done))  # type: ignore[misc]
            )
            if members == sizes[0]:
                found.plain_us[members] = suggested.plain_cpu_us(pids, members)
            suggested.forget(members)
        progress.add_task("trending", total=None)
        found.trending = hot.windows(posts, pids)
    report.write(found)
    report.show(found, Console(width=200))
    print(json.dumps(report.figures(found), ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(ending.run(main))
