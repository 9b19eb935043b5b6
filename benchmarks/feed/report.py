"""What came out: tables for the terminal and for feed.md, targets, pictures."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from rich.console import Console

from benchmarks import tables
from benchmarks.tables import RESULTS, Section, Target

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_BLUE, _LIGHT, _GREY, _RED = "#2a6f97", "#89c2d9", "#a9a9a9", "#c1121f"


@dataclass
class Findings:
    """All that was measured, each part as its module gave it; an empty one was not asked for. growth: one entry for
    each size of the history, with `events`, `miss`, `seed`, `seed_one_thread` and, by these two, `beside`."""

    cores: int
    load: float
    world: dict[str, int] = field(default_factory=dict)
    cached: list[Mapping[str, Any]] = field(default_factory=list)
    growth: list[dict[str, Any]] = field(default_factory=list)
    exponent: float | None = None
    bulk: dict[str, float] = field(default_factory=dict)
    concurrent: Mapping[str, Any] = field(default_factory=dict)
    waits: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    warm: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)

    def at(self, events: int) -> dict[str, Any]:
        """The growth's entry for so many events, or nothing."""
        return next((one for one in self.growth if one["events"] == events), {})


def targets(found: Findings) -> list[Target]:
    """Each target that this run measured."""
    made = [
        Target(f"{title} / bare view, requests/s, {one['workers']} worker(s)", "≥ 0.5", one[key], one[key] >= 0.5)
        for one in found.cached
        for key, title in (("ratio", "kept feed"), ("ratio_redis", "kept, read from Redis"))
    ]

    def most(what: str, limit: float, value: float | None, unit: str = "") -> None:
        if value is not None:
            made.append(Target(what, f"≤ {limit:g}{unit}", value, value <= limit))

    for one in found.growth:
        if one["events"] >= 50_000_000:
            for name, how in (("seed_one_thread", "one thread"), ("seed", "all cores")):
                for part, what in (("questions", "a feed's questions"), ("whole", "making a feed")):
                    history = f"{one['events'] / 1e6:.0f} million events"
                    most(f"{what} / the seed's query with {how}, {history}", 0.02, one["beside"][name][part])
    most("growth of making a feed with the events, exponent", 0.2, found.exponent)
    if found.concurrent:
        wrong = found.concurrent["errors"] + found.concurrent["silent"]
        # Who asks more often than their limit allows is told so, which is no failure.
        wrong += sum(count for status, count in found.concurrent["statuses"].items() if status not in ("200", "429"))
        most(f"calls without a right answer, {found.concurrent['connections']:,} readers at once", 0, wrong)
    for name, limit in (("kept", 150), ("made", 800)):
        if name in found.waits:
            most(f"a feed that is {name}, p95", limit, found.waits[name]["ms"]["p95"], " ms")
    if found.warm:
        hits = found.warm["on"]["active"]["hits"]
        made.append(Target("hits of active members with the warmer", "> 0.9", round(hits, 3), hits > 0.9))
    if found.path:
        most("follow committed → feed changed, p95", 500, found.path["follow_to_feed"]["p95_ms"], " ms")
        most("event accepted → counted, p95", 1000, found.path["event_to_count"]["p95_ms"], " ms")
    return made


def sections(found: Findings) -> list[Section]:
    """Title, heading and lines of every table that there is something for."""
    made: list[Section] = []
    if found.cached:
        heading = ["server", "requests/s", "each round", "p95 ms", "web CPU µs", "Redis CPU µs", "client CPU µs"]
        rows = []
        for one in found.cached:
            for name, title in (("nova", "kept feed"), ("redis", "kept, read from Redis"), ("bare", "bare view")):
                side = one[name]
                cpu = [f"{median(used[part] for used in side['cpu_us']):.0f}" for part in ("web", "Redis", "client")]
                paces = side["per_second"]
                rows.append(
                    [
                        f"{title}, {one['workers']} worker(s), {one['bytes']:,} bytes",
                        f"{median(paces):,.0f}",
                        ", ".join(f"{pace:,.0f}" for pace in paces),
                        f"{median(side['p95_ms']):.1f}",
                        *cpu,
                    ]
                )
        made.append(("A kept feed beside a bare view", heading, rows))
    if found.growth:
        heading = [
            "events",
            "feed p50 ms",
            "p95 ms",
            "candidates",
            "scoring",
            "names",
            "keeping",
            "CPU ms",
            "counts from the table, p50 ms",
            "CPU ms",
            "seed, one thread, p50 ms",
            "questions",
            "whole",
            "seed, all cores, p50 ms",
            "questions",
            "whole",
            "seed CPU ms",
            "ratio",
        ]
        rows = [
            [
                f"{one['events']:,}",
                f"{one['miss']['ms']['p50']:.1f}",
                f"{one['miss']['ms']['p95']:.1f}",
                *(f"{value:.1f}" for value in one["miss"]["stages_ms"].values()),
                f"{one['miss']['cpu_ms']:.0f}",
                f"{one['from_table']['ms']['p50']:.1f}",
                f"{one['from_table']['cpu_ms']:.0f}",
                *_beside(one, "seed_one_thread"),
                *_beside(one, "seed"),
                f"{one['seed_one_thread']['cpu_ms']:,.0f}",
                f"{one['miss']['cpu_ms'] / one['seed_one_thread']['cpu_ms']:.4f}",
            ]
            for one in found.growth
        ]
        made.append((f"Making a feed as the history grows (exponent {found.exponent})", heading, rows))
        rows = [
            [f"{one['events']:,}", f"{held['posts']:,}", f"{held['mb']:.1f}", f"{held['load_ms']:,}"]
            for one in found.growth
            for held in [one["memory"]]
        ]
        heading = ["events", "posts of eight days", "MB", "load ms"]
        made.append(("Counts in the server's memory, loaded every five seconds at most", heading, rows))
    if found.bulk:
        rows = [[name, f"{pace:.1f}"] for name, pace in found.bulk.items()]
        made.append(("Members ranked per second in bulk", ["threads of one process", "members/s"], rows))
    waits = {**found.waits, **({"1,000 at once": found.concurrent} if found.concurrent else {})}
    if waits:
        rows = [
            [
                name,
                f"{one['connections']:,}",
                f"{one['per_second']:,.0f}",
                *(f"{one['ms'][p]}" for p in ("p50", "p95", "p99")),
                f"{one['statuses'].get('429', 0):,}",
            ]
            for name, one in waits.items()
        ]
        heading = ["feeds", "readers", "answers/s", "p50", "p95", "p99", "over their limit (429)"]
        made.append(("What readers wait for, ms", heading, rows))
    if found.path:
        rows = [
            [name.replace("_", " "), str(one["p50_ms"]), str(one["p95_ms"])]
            for name, one in found.path.items()
            if isinstance(one, Mapping)
        ]
        made.append((f"From a change to its effect, {found.path['tries']} tries", ["path", "p50 ms", "p95 ms"], rows))
    rows = [[one.what, one.wanted, f"{one.found:g}", "yes" if one.met else "no"] for one in targets(found)]
    made.append(("Targets", ["what", "wanted", "found", "met"], rows))
    return made


def _beside(one: Mapping[str, Any], name: str) -> list[str]:
    """The time of a seed's query, and how many of it the questions of a feed and the whole of one take."""
    ratios = one["beside"][name]
    return [f"{one[name]['ms']['p50']:,.0f}", f"{ratios['questions']:.4f}", f"{ratios['whole']:.4f}"]


def figures(found: Findings) -> dict[str, Any]:
    """Everything as JSON can hold it."""
    return {**asdict(found), "targets": [asdict(one) for one in targets(found)]}


def show(found: Findings, console: Console) -> None:
    """The tables on the terminal."""
    tables.show(sections(found), console)


def write(found: Findings) -> None:
    """benchmarks/results/feed.{md,json,png}."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "feed.json").write_text(json.dumps(figures(found), indent=2, ensure_ascii=False) + "\n")
    world = ", ".join(f"{count:,} {name}" for name, count in found.world.items())
    parts = [
        "# Feeds\n\nMade by `make bench-feed`: engines, web processes and readers on one machine of"
        f" {found.cores} cores (load average {found.load:.1f} before), so only ratios travel. Rows: {world}."
        " A kept feed is one whose page the process sent before: Redis is asked whether it still holds. Read from"
        " Redis: one that it does not remember, whose posts travel. A feed's questions are all that it asks, from the"
        " first to the counts; whole, it is also scored (as the seed's query does), kept apart by author, written as"
        " JSON and kept in Redis (which that does not do). Ratios are medians of turns: some feeds, then the query."
    ]
    parts += tables.markdown(sections(found))
    if draw(found, RESULTS / "feed.png"):
        parts.append("![feeds](feed.png)")
    (RESULTS / "feed.md").write_text("\n\n".join(parts) + "\n")


def draw(found: Findings, file: Path) -> bool:
    """A picture of the cached feeds and of the growth; whether there was anything to draw."""
    if not (found.cached and found.growth):
        return False
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for at, one in enumerate(found.cached):
        for shift, name, colour in ((-0.27, "nova", _BLUE), (0, "redis", _LIGHT), (0.27, "bare", _GREY)):
            left.bar(at + shift, median(one[name]["per_second"]), 0.27, color=colour)
        left.text(at - 0.27, median(one["nova"]["per_second"]), f"{one['ratio']:.2f}", ha="center", va="bottom")
    left.set_xticks(range(len(found.cached)), [f"{one['workers']} worker(s)" for one in found.cached])
    left.set_ylabel("requests/s")
    left.set_title("kept feed (light: read from Redis each time), bare view")
    events = [one["events"] for one in found.growth]
    right.loglog(events, [one["miss"]["ms"]["p50"] for one in found.growth], "o-", color=_BLUE, label="making a feed")
    right.loglog(
        events, [one["seed"]["ms"]["p50"] for one in found.growth], "o-", color=_GREY, label="the seed's query"
    )
    right.axhline(800, color=_RED, linestyle="--", linewidth=1, label="limit 800 ms")
    right.set_xlabel("events")
    right.set_ylabel("p50 ms")
    right.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return True
