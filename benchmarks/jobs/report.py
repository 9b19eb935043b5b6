"""What came out: tables for the terminal and for jobs.md, the growth, and in words what limits the job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from statistics import linear_regression
from typing import Any

from rich.console import Console

from benchmarks import tables
from benchmarks.jobs import community
from benchmarks.jobs.suggested import JOB, SERVER, STORE, Suggested
from benchmarks.tables import RESULTS, Section

GOAL_MEMBERS, GOAL_SECONDS = 1_000_000, 600
# From this share of all cores on, more cores or less work would help, and nothing else.
_CPU_BOUND = 0.85


@dataclass
class Findings:
    """All that was measured. plain_us: CPU µs a viewer of the plain query, by members; trending: CPU seconds."""

    cores: int
    suggested: list[Suggested] = field(default_factory=list)
    plain_us: dict[int, float] = field(default_factory=dict)
    trending: dict[str, float] = field(default_factory=dict)

    @property
    def exponent(self) -> float | None:
        """e of "CPU seconds of a whole run ~ members ** e"; 1 is in proportion. None for one size."""
        return _exponent([(one.members, sum(one.cpu.values())) for one in self.suggested])

    @property
    def seconds_for_goal(self) -> float:
        """For a million members, at the pace of the largest community."""
        return GOAL_MEMBERS / self.suggested[-1].per_second


def _exponent(points: Sequence[tuple[float, float]]) -> float | None:
    if len(points) < 2:
        return None
    return linear_regression([log(x) for x, _ in points], [log(y) for _, y in points]).slope


def limits(found: Findings) -> str:
    """What keeps the largest run from being faster."""
    last = found.suggested[-1]
    total = sum(last.cpu.values())
    shares = ", ".join(f"{side} {used / total:.0%}" for side, used in last.cpu.items())
    busy = last.cores / found.cores
    said = f"The largest run kept {last.cores:.2f} of {found.cores} cores busy ({shares}). "
    if busy >= _CPU_BOUND:
        said += "So it is limited by CPU: more cores make it faster, up to what one connection's queries can use."
    else:
        said += (
            f"So {1 - busy:.0%} of the machine was idle or used by others: the job waits between a batch's query, its"
            " decoding and its writing, of which only the writing goes on beside the next query."
        )
    prepared = last.prepare / last.seconds
    return (
        f"{said} {prepared:.0%} of the time went into numbering the members and laying out who follows whom, before the"
        " first batch."
    )


def suggested_rows(found: Findings) -> tuple[list[str], list[list[str]]]:
    heading = [
        *("members", "seconds", "of these preparing", "batches", "members/s", "cores busy"),
        *("CPU µs a member", SERVER, STORE, JOB, "plain query, CPU µs", "bytes a member", "ClickHouse, highest MB"),
    ]
    rows = [
        [
            f"{one.members:,}",
            f"{one.seconds:,.1f}",
            f"{one.prepare:,.1f}",
            f"{one.batches:,}",
            f"{one.per_second:,.0f}",
            f"{one.cores:.2f}",
            f"{one.cpu_us():,.0f}",
            *(f"{one.cpu_us(side):,.0f}" for side in (SERVER, STORE, JOB)),
            f"{found.plain_us[one.members]:,.0f}" if one.members in found.plain_us else "",
            f"{one.bytes_per_viewer:,.0f}",
            f"{one.memory_mb:,.0f}",
        ]
        for one in found.suggested
    ]
    return heading, rows


def trending_rows(found: Findings) -> tuple[list[str], list[list[str]]]:
    return ["what", "CPU s of ClickHouse"], [[name.replace("_", " "), f"{v:.3f}"] for name, v in found.trending.items()]


def sections(found: Findings) -> list[Section]:
    """Title, heading and lines of each table."""
    exponent = found.exponent
    goals = [
        ["a million members, seconds", f"≤ {GOAL_SECONDS}", f"{found.seconds_for_goal:,.0f}"],
        ["growth of the CPU with the members, exponent", "about 1", f"{exponent:.2f}" if exponent else ""],
    ]
    return [
        ("Suggestions", *suggested_rows(found)),
        ("Goals", ["what", "wanted", "found"], goals),
        ("Trending", *trending_rows(found)),
    ]


def show(found: Findings, console: Console) -> None:
    """The tables on the terminal."""
    tables.show(sections(found), console)
    console.print(limits(found), soft_wrap=True)


def figures(found: Findings) -> dict[str, Any]:
    """Everything as JSON can hold it."""
    return {
        "cores": found.cores,
        "suggestions": [
            {
                **{name: round(value, 1) for name, value in vars(one).items() if name != "cpu"},
                "cpu_seconds": {side: round(value, 1) for side, value in one.cpu.items()},
                "users_per_second": round(one.per_second),
                "cores_busy": round(one.cores, 2),
            }
            for one in found.suggested
        ],
        "plain_query_cpu_us_per_user": {str(members): round(us) for members, us in found.plain_us.items()},
        "growth_exponent_of_cpu": None if found.exponent is None else round(found.exponent, 3),
        "seconds_for_a_million": round(found.seconds_for_goal),
        "limits": limits(found),
        "trending": found.trending,
    }


def write(found: Findings) -> None:
    """benchmarks/results/jobs.md and jobs.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "jobs.json").write_text(json.dumps(figures(found), indent=2, ensure_ascii=False) + "\n")
    parts = [
        "# Background jobs\n\nMade by `make bench-jobs`: everything on one machine, so only ratios travel.\n\n"
        f"Suggestions are the whole job, with writing to Redis. The community: {community.SHAPE}. The plain query joins"
        " the follows with themselves for 2,000 viewers at once and writes nothing; it knows no weights, interests,"
        " reasons and blocks."
    ]
    parts += tables.markdown(sections(found))
    parts.insert(3, f"What limits it: {limits(found)}")
    (RESULTS / "jobs.md").write_text("\n\n".join(parts) + "\n")
