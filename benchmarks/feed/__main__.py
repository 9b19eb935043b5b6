"""python -m benchmarks.feed: the whole benchmark on a stack of its own. Last line of stdout: all figures as JSON.

Exit code 0 when everything was measured and every answer was right, whatever the figures are; 130 when it
was interrupted; 1 otherwise.
"""

import argparse
import json
import os
import sys

import django
from django.test import override_settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import ending
from benchmarks.feed import cached, miss, path, report, warm
from benchmarks.feed.report import Findings
from benchmarks.feed.world import Size, World
from benchmarks.ingest.__main__ import Bars
from benchmarks.ingest.bench import Bench
from benchmarks.stack import own_stack
from embedded.errors import StackError

PARTS = ("growth", "bulk", "cached", "readers", "path", "warm")
# What is kept must not age while it is measured, and no measure of ranking may end in the fallback.
_ENVIRONMENT = {
    "SNAPSHOT_SOFT_SECONDS": "7200",
    "SNAPSHOT_HARD_SECONDS": "14400",
    "CLICKHOUSE_DEADLINE_SECONDS": "30",
    "DJANGO_SETTINGS_MODULE": "nova.settings",
}
# Enough for the rounds to stay within everybody's limit of a minute.
_VIEWERS = 1000
# In each turn so many feeds, then the seed's query once with one thread and once with all.
_TURNS, _RANKED = 10, 10


class Run:
    """One run's community, bars and findings."""

    def __init__(self, bench: Bench, given: argparse.Namespace, found: Findings, bars: Bars) -> None:
        self.bench, self.given, self.found, self.bars = bench, given, found, bars
        size = Size(5_000, 100_000, 500_000) if given.quick else Size()
        self.world = World(bench, size)

    def prepare(self) -> None:
        """Schema, members, posts, follows; this process becomes one of Nova's."""
        self.bench.manage("migrate", "--noinput")
        self.bench.manage("migrate_clickhouse")
        os.environ.update(self.bench.environment(**_ENVIRONMENT))
        django.setup()
        with self.bars.bar("members, posts, follows", 1):
            self.world.people()

    def growth(self) -> None:
        """The history grows; at each size the same members' feeds are made, in turns with the seed's query."""
        viewers, server = self.world.users(2 * _TURNS * _RANKED, 1000), self.bench.pids["clickhouse"]
        for number, events in enumerate(self.given.events):
            with self.bars.bar(f"history of {events:,} events", events - self.world.events) as tell:
                self.world.grow(events, tell)
            with self.bars.bar("merges", 1):
                self.world.settle()
            miss.refresh_lists()
            held = miss.load_counts(self.world.client())
            feeds, from_table = miss.ours(server), miss.ours(server)
            seeds = {
                name: miss.seed(self.world.client(), server, threads)
                for name, threads in (("seed", 0), ("seed_one_thread", 1))
            }
            for way in (feeds, *seeds.values()):
                way.make(viewers[-1])  # and with it whatever is done but once
            with self.bars.bar("feeds and the seed's query, in turns", _TURNS) as tell:
                for start in range(0, _TURNS * _RANKED, _RANKED):
                    feeds.turn(viewers[start : start + _RANKED], tell)
                    for way in seeds.values():
                        way.turn(viewers[start : start + 1], tell)
            # Of others, whose names and posts have not just been read.
            with (
                self.bars.bar("making feeds, counts from the table", _TURNS) as tell,
                override_settings(COUNTS_MEMORY_SECONDS=0),
            ):
                for start in range(_TURNS * _RANKED, len(viewers), _RANKED):
                    from_table.turn(viewers[start : start + _RANKED], tell)
            asked = {"miss": feeds, "from_table": from_table, **seeds}
            beside = {name: feeds.beside(way) for name, way in seeds.items()}
            measured = {name: way.found() for name, way in asked.items()}
            self.found.growth.append({"events": events, "memory": held, **measured, "beside": beside})
            if number:
                points = [(one["events"], one["miss"]["ms"]["p50"]) for one in self.found.growth]
                self.found.exponent = round(miss.exponent(points), 3)

    def bulk(self) -> None:
        """Feeds made as fast as one process can; they are the ones that `cached` and `readers` read."""
        viewers = self.world.users(_VIEWERS)
        half = _VIEWERS // 2
        for threads, part in ((1, viewers[:half]), (4, viewers[half:])):
            with self.bars.bar(f"feeds in bulk, {threads} thread(s)", half) as tell:
                self.found.bulk[str(threads)] = round(miss.bulk(part, threads, tell), 1)

    def cached(self) -> None:
        viewers = self.world.users(_VIEWERS)
        rounds, seconds = (2, 3.0) if self.given.quick else (9, 2.0)
        for workers in (1, 2):
            with self.bars.bar(f"kept feeds and a bare view, {workers} worker(s)", rounds) as tell:
                got = cached.measure(self.bench, viewers, workers=workers, rounds=rounds, seconds=seconds, tell=tell)
                self.found.cached.append(got)

    def readers(self) -> None:
        with self.bars.bar("readers", 1):
            others = self.world.users(5000, 10_000 if not self.given.quick else 1000)
            self.found.concurrent, self.found.waits = cached.readers(self.bench, self.world.users(_VIEWERS), others)

    def path(self) -> None:
        tries = 10 if self.given.quick else 100
        with self.bars.bar("from a change to its effect", 1):
            self.found.path = path.measure(self.bench, self.world.database, tries)

    def warm(self) -> None:
        with self.bars.bar("the cache warmer", 1):
            self.found.warm = warm.measure(self.bench)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-feed", description=__doc__)
    parser.add_argument(
        "--events",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000, 50_000_000, 100_000_000],
        help="sizes of the history",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the community, 100,000 and 1 million events")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--keep", action="store_true", help="leave the data folder behind")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if given.quick:
        given.events = [100_000, 1_000_000]
    if {"cached", "readers"} & set(parts) and "bulk" not in parts:
        parts.append("bulk")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found, failed = Findings(os.cpu_count() or 1, os.getloadavg()[0]), False
    try:
        with Progress(*columns, console=console) as progress, own_stack("bench-feed", keep=given.keep) as stack:
            pids = {name: part.pid for name, part in stack.parts.items() if part.pid}
            run = Run(Bench(stack.env, pids, stack.var), given, found, Bars(progress))
            run.prepare()
            for part in PARTS:
                if part not in parts:
                    continue
                try:
                    getattr(run, part)()
                except (RuntimeError, TimeoutError) as error:
                    # What the others found must not be lost with it.
                    console.print(f"[red]{part}: {error}")
                    failed = True
            found.world = run.world.rows()
    except (StackError, RuntimeError, TimeoutError) as error:
        console.print(f"[red]{error}")
        return 1
    report.write(found)
    report.show(found, Console(width=200))
    print(json.dumps(report.figures(found), ensure_ascii=False))
    return int(failed)


if __name__ == "__main__":
    sys.exit(ending.run(main))
