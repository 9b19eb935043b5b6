"""What came out: tables for the terminal and for ingest.md, ratios, targets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from benchmarks import tables
from benchmarks.ingest import engine, latency, ours
from benchmarks.ingest.result import Result, Summary, summary
from benchmarks.ingest.visible import quantiles
from benchmarks.tables import RESULTS, Section, Target


@dataclass
class Findings:
    """All that was measured. results: contestant → its runs; delays in seconds; memory: (seconds, MB)."""

    events: int
    cores: int
    results: dict[str, list[Result]] = field(default_factory=dict)
    backlog: dict[str, Any] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    delays: dict[str, list[float]] = field(default_factory=dict)
    intake: dict[str, Any] = field(default_factory=dict)

    @property
    def summaries(self) -> dict[str, Summary]:
        return {name: summary(runs) for name, runs in self.results.items()}

    def engine_at(self, consumers: int | None) -> Summary | None:
        """The engine's best setting with so many consumers, or of all."""
        names = [engine.name(n, block) for n in engine.CONSUMERS if consumers in (n, None) for block in engine.BLOCKS]
        known = self.summaries
        return max((known[name] for name in names if name in known), key=lambda one: one.pace, default=None)


def targets(found: Findings) -> list[Target]:
    """Each target that this run measured."""
    made: list[Target] = []
    known = found.summaries
    for processes, consumers, least in ((1, 1, 1.2), (2, None, 1.0)):
        mine, other = known.get(ours.name(processes)), found.engine_at(consumers)
        if mine and other and other.pace:
            ratio = mine.pace / other.pace
            made.append(Target(f"{mine.name} / {other.name}", f"≥ {least}", round(ratio, 2), ratio >= least))
    highest = max(
        [one.memory for one in known.values()] + [found.backlog.get("highest_mb", 0.0)],
        default=0.0,
    )
    if highest:
        made.append(Target("highest memory of a consumer process, MB", "≤ 400", round(highest), highest <= 400))
    for name, delays in found.delays.items():
        p95, most = quantiles(delays)["p95"], latency.limit(name)
        made.append(Target(f"{name}: → visible, p95 in ms", f"≤ {most}", p95, p95 <= most))
    return made


def throughput_rows(found: Findings) -> tuple[list[str], list[list[str]]]:
    """Heading and lines of the table of contestants."""
    best, consume = found.engine_at(None), found.summaries.get("consume only")
    heading = [
        *("contestant", "events/s", "lowest–highest", "first to last row", "× best engine", "× consume only"),
        *("CPU µs per event", "sum", "MB", "stored / distinct"),
    ]
    rows = []
    for one in found.summaries.values():
        rows.append(
            [
                one.name,
                f"{one.pace:,.0f}",
                f"{one.low:,.0f}–{one.high:,.0f}",
                f"{one.whole_pace:,.0f}",
                f"{one.pace / best.pace:.2f}" if best and best.pace else "",
                f"{one.pace / consume.pace:.2f}" if consume else "",
                ", ".join(f"{side} {used:.1f}" for side, used in one.cpu.items()),
                f"{sum(one.cpu.values()):.1f}",
                f"{one.memory:.0f}" if one.memory else "",
                ", ".join(f"{a:,} / {b:,}" for a, b in sorted(set(zip(one.stored, one.distinct, strict=True)))),
            ]
        )
    return heading, rows


def step_rows(found: Findings) -> tuple[list[str], list[list[str]]]:
    """Where the time of our batches goes: seconds of the threads that work on them, by step."""
    heading = ["step", *(ours.name(n) for n in (1, 2) if ours.name(n) in found.results)]
    runs = [found.results[name][-1] for name in heading[1:]]
    steps = dict.fromkeys(step for run in runs for step in run.steps)
    rows = [
        [
            step,
            *(
                f"{run.steps.get(step, 0) / sum(run.steps.values()):.0%},"
                f" {run.steps.get(step, 0) / run.batches['rows'] * 1e6:.1f} µs/event"
                for run in runs
            ),
        ]
        for step in steps
    ]
    rows.append(["rows in a batch", *(f"{run.batches['rows'] / max(1, run.batches['count']):,.0f}" for run in runs)])
    return heading, rows


def sections(found: Findings) -> list[Section]:
    """Title, heading and lines of every table that there is something for."""
    made = []
    if found.results:
        made.append((f"{found.events:,} events, {found.cores} cores", *throughput_rows(found)))
    if any(name.startswith("run_events_consumer") for name in found.results):
        title = "Where the time of our batches goes (wall clock; decode: the polling thread, the rest: two workers)"
        made.append((title, *step_rows(found)))
    for title, values in (("Backlog", found.backlog), ("POST /api/events, batches of 100", found.intake)):
        if values:
            made.append((title, ["figure", "value"], [[key, _plain(value)] for key, value in values.items()]))
    if found.delays:
        lines = [[name, str(len(d)), *map(str, quantiles(d).values())] for name, d in found.delays.items()]
        made.append(("Delays in ms", ["what → visible", "samples", "p50", "p95", "p99", "max"], lines))
    lines = [[one.what, one.wanted, str(one.found), "yes" if one.met else "no"] for one in targets(found)]
    made.append(("Targets", ["what", "wanted", "found", "met"], lines))
    return made


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def show(found: Findings, console: Console) -> None:
    """The tables on the terminal."""
    tables.show(sections(found), console)


def figures(found: Findings) -> dict[str, Any]:
    """Everything as JSON can hold it."""
    return {
        "events": found.events,
        "cores": found.cores,
        "throughput": {name: asdict(one) for name, one in found.summaries.items()},
        "steps": {
            name: {"seconds": runs[-1].steps, "batches": runs[-1].batches, **runs[-1].notes}
            for name, runs in found.results.items()
            if runs[-1].steps
        },
        "backlog": found.backlog,
        "delays_ms": {name: quantiles(delays) for name, delays in found.delays.items()},
        "intake": found.intake,
        "targets": [asdict(one) for one in targets(found)],
    }


def write(found: Findings, pictures: Sequence[str]) -> None:
    """benchmarks/results/ingest.md and ingest.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ingest.json").write_text(json.dumps(figures(found), indent=2, ensure_ascii=False) + "\n")
    parts = [
        "# Ingestion\n\nMade by `make bench-ingest`: everything on one machine, so only ratios travel. events/s counts "
        "the rows that became visible between 10 % and 90 % of a run, as seen from outside; CPU is that of the same "
        "part. The engine deduplicates nothing; our consumer gives all its guarantees."
    ]
    parts += tables.markdown(sections(found))
    parts += [f"![{name}]({name})" for name in pictures]
    (RESULTS / "ingest.md").write_text("\n\n".join(parts) + "\n")
