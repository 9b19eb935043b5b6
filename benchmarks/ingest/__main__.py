"""python -m benchmarks.ingest: the whole benchmark on a stack of its own. Last line of stdout: all figures as JSON.

Exit code 0 when everything was measured and every count was right, whatever the figures are; 130 when it
was interrupted; 1 otherwise.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import ending
from benchmarks.ingest import ceilings, engine, latency, load, ours, plots, report
from benchmarks.ingest.bench import Bench
from benchmarks.ingest.report import Findings
from benchmarks.ingest.result import Result
from benchmarks.ingest.web import People, flood, web
from benchmarks.stack import own_stack
from benchmarks.tables import RESULTS
from embedded.errors import StackError

PARTS = ("throughput", "backlog", "latency", "intake")
Tell = Callable[[int], None]


class Bars:
    """Progress on stderr: a bar for each thing that takes a while."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator[Tell]:
        task = self._progress.add_task(title, total=total)
        yield lambda done: self._progress.update(task, completed=done)
        self._progress.update(task, completed=total)


def throughput(bench: Bench, found: Findings, rounds: int, bars: Bars) -> None:
    """Every contestant in turn on the same backlog, `rounds` times, every other round backwards."""
    contestants: dict[str, Callable[[int, Tell], Result]] = ceilings.contestants(bench)
    for consumers in engine.CONSUMERS:
        for block in engine.BLOCKS:
            contestants[engine.name(consumers, block)] = partial(engine.run, bench, consumers, block)
    contestants |= {ours.name(processes): partial(ours.run, bench, processes) for processes in (1, 2)}
    made: dict[str, list[Result]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            run = contestants[name]
            if number == rounds - 1 and name == ours.name(1):
                run = partial(ours.run, bench, 1, again=True)
            with bars.bar(f"{name}, round {number + 1}", found.events) as tell:
                made[name].append(run(found.events, tell))
    found.results = {runs[0].name: runs for runs in made.values()}


def backlog(bench: Bench, found: Findings, events: int, bars: Bars) -> None:
    """Memory of one consumer with `events` waiting."""
    with bars.bar("more events into the topic", events) as tell:
        load.fill(bench.servers, max(0, events - bench.messages()), tell)
    with bars.bar("one consumer against the backlog", events) as tell:
        curve, highest = ours.backlog(bench, bench.messages(), tell)
    found.memory = [(seconds, values[0]) for seconds, values in curve.memory]
    half = [megabytes for seconds, megabytes in found.memory if seconds > curve.points[-1][0] / 2]
    found.backlog = {
        "events": curve.total,
        "events_per_second": round(curve.pace),
        "highest_mb": round(highest, 1),
        "second_half_lowest_mb": round(min(half, default=0.0), 1),
        "second_half_highest_mb": round(max(half, default=0.0), 1),
    }


def delays(bench: Bench, found: Findings, seconds: float, bars: Bars) -> None:
    """How soon things are seen at a steady, modest pace."""
    for partitions in latency.PARTITIONS:
        bench.new_topics(partitions)
        bench.forget_claims()
        bench.manage("setup_cdc")
        with bench.database() as database:
            people = People.make(bench)
            with ours.consumers(bench, 1, database, ours.new_group()), bench.cdc_consumer(database):
                change, event = latency.name("change", partitions), latency.name("event", partitions)
                with bars.bar(change, latency.CHANGES_PER_SECOND * (seconds + 5)) as tell:
                    found.delays[change] = latency.cdc(bench, database, people, seconds, tell)
                with (
                    web(bench, database, people) as (intake, _),
                    bars.bar(event, latency.EVENTS_PER_SECOND * (seconds + 5)) as tell,
                ):
                    found.delays[event] = latency.events(bench, database, intake, seconds, tell)


def intake_at_its_limit(bench: Bench, found: Findings, seconds: float, bars: Bars) -> None:
    """How many events a second the API takes, and what its time goes into."""
    bench.new_topics()
    bench.forget_claims()
    with bench.database() as database:
        people, length = People.make(bench), min(30.0, seconds)
        with web(bench, database, people) as (intake, server), bars.bar("API at its limit", 1):
            found.intake = dict(flood(bench, intake, server, length, lambda done: None))
        profile = bench.var / "log" / "bench-profile.json"
        with (
            web(bench, database, people, profile=profile) as (intake, server),
            bars.bar("API under the sampler", 1),
        ):
            flood(bench, intake, server, length / 2, lambda done: None)
            counts = json.loads(profile.read_text())
        samples = sum(counts.values())
        found.intake["time_of_requests"] = {
            layer: f"{count / samples:.0%}" for layer, count in sorted(counts.items(), key=lambda one: -one[1])
        }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="events each contestant reads (2 million)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each contestant runs (2)")
    parser.add_argument("--backlog", type=int, default=10_000_000, help="events for the memory test (10 million)")
    parser.add_argument("--seconds", type=float, default=60, help="length of each latency test (60)")
    parser.add_argument("--quick", action="store_true", help="200,000 events, one round, no backlog, 15 s")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--keep", action="store_true", help="leave the data folder behind")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if given.quick:
        given.events, given.rounds, given.seconds = 200_000, 1, 15.0
        parts = [part for part in parts if part != "backlog"]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found = Findings(given.events, os.cpu_count() or 1)
    try:
        with Progress(*columns, console=console) as progress, own_stack("bench", keep=given.keep) as stack:
            bars = Bars(progress)
            pids = {name: part.pid for name, part in stack.parts.items() if part.pid}
            measure(Bench(stack.env, pids, stack.var), found, parts, given, bars)
    except (StackError, RuntimeError, TimeoutError) as error:
        console.print(f"[red]{error}")
        return 1
    RESULTS.mkdir(exist_ok=True)
    report.write(found, plots.draw(found, RESULTS))
    report.show(found, Console(width=200))
    print(json.dumps(report.figures(found), ensure_ascii=False))
    return 0


def measure(bench: Bench, found: Findings, parts: list[str], given: argparse.Namespace, bars: Bars) -> None:
    """The parts in their order, into `found`."""
    bench.manage("migrate", "--noinput")
    if {"throughput", "backlog"} & set(parts):
        bench.new_topics()
        with bars.bar("events into the topic", found.events) as tell:
            load.fill(bench.servers, found.events, tell)
    if "throughput" in parts:
        throughput(bench, found, given.rounds, bars)
    if "backlog" in parts:
        backlog(bench, found, given.backlog, bars)
    if "latency" in parts:
        delays(bench, found, given.seconds, bars)
    if "intake" in parts:
        intake_at_its_limit(bench, found, given.seconds, bars)


if __name__ == "__main__":
    sys.exit(ending.run(main))
