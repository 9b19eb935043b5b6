"""What a run says: tables for people, one line of JSON for programs, an exit code for both. Pure."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.clients import GOOD, Availability
from tests.chaos.havoc import Toll
from tests.chaos.plan import PARTS
from tests.chaos.verdict import Verdict

EXIT_CLEAN, EXIT_FOUND, EXIT_NOT_STARTED, EXIT_NOT_HEALED, EXIT_BLIND = 0, 1, 2, 3, 4
EXIT_CODES = """exit codes:
  0    nothing was lost, nothing doubled, nothing has drifted
  1    something was; the table says what, the data folder is kept
  2    the stack could not be started, or the command line is wrong
  3    the stack did not heal within --heal seconds, so nothing can be judged; the data folder is kept
  4    the judge did not see what was spoilt before its eyes: its verdict is worth nothing
  130  interrupted by SIGINT or SIGTERM, nothing was judged"""


@dataclass
class Findings:
    """One run. control: the verdict after one event was lost, one doubled and one row taken away on purpose; healed_in:
    seconds from the last strike's end until everything had arrived; not_healed: why it never did."""

    seed: int
    seconds: float
    toll: Toll = field(default_factory=Toll)
    sent: int = 0
    rejected: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    feeds: Availability = field(default_factory=Availability)
    healed_in: float = 0.0
    not_healed: str = ""
    verdict: Verdict | None = None
    control: Verdict | None = None

    @property
    def exit_code(self) -> int:
        if self.verdict is None:
            return EXIT_NOT_HEALED
        if not self.verdict.clean:
            return EXIT_FOUND
        seen = self.control
        if seen is not None and not (seen.lost and seen.doubled and seen.aggregates and seen.copies):
            return EXIT_BLIND
        return EXIT_CLEAN


def figures(found: Findings) -> dict[str, Any]:
    """The run as JSON."""
    toll, verdict = found.toll, found.verdict
    made: dict[str, Any] = {
        "seed": found.seed,
        "seconds": found.seconds,
        "exit_code": found.exit_code,
        "killed": dict(toll.killed),
        "frozen": dict(toll.frozen),
        "failpoints": {
            f"{kind}@{point}": {
                "armed": count,
                "killed": toll.killed_at[kind, point],
                "frozen": toll.frozen_at[kind, point],
            }
            for (kind, point), count in sorted(toll.armed.items())
        },
        "sent": found.sent,
        "rejected": found.rejected,
        "answers_to_events": found.answers,
        "changes": found.changes,
        "healed_in": round(found.healed_in, 1),
        "feed": {
            "answers": dict(found.feeds.answers),
            "available": round(found.feeds.share, 5),
            "longest_unavailable_s": round(found.feeds.longest, 2),
            "slowest_s": round(found.feeds.slowest, 2),
        },
    }
    if verdict is None:
        return made | {"not_healed": found.not_healed}
    return made | _judged(verdict) | {"control": _judged(found.control) if found.control else None}


def _judged(verdict: Verdict) -> dict[str, Any]:
    return {
        "acknowledged": verdict.acknowledged,
        "stored": verdict.stored,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "drifted": verdict.drifted,
        "aggregates": verdict.aggregates,
        "copies": verdict.copies,
        "reactions": verdict.reactions,
        "unknown": verdict.unknown,
        "dead_letters": {"sent": verdict.letters, "lost": verdict.letters_lost},
        "compared": verdict.compared,
    }


def show(found: Findings, out: Console) -> None:
    """The tables."""
    out.print(_strikes(found.toll, found.seed))
    out.print(_feeds(found.feeds))
    out.print(_outcome(found))


def _strikes(toll: Toll, seed: int) -> Table:
    table = Table("what", "where", title=f"Done to it (seed {seed})", title_justify="left")
    for name in ("armed", "kill -9", "frozen"):
        table.add_column(name, justify="right")
    for part in PARTS:
        table.add_row(part, "anywhere", "", f"{toll.killed[part]}", f"{toll.frozen[part]}")
    table.add_section()
    for (kind, point), armed in sorted(toll.armed.items()):
        killed, frozen = toll.killed_at[kind, point], toll.frozen_at[kind, point]
        table.add_row(f"{kind} consumer", f"@ {point}", f"{armed}", f"{killed}", f"{frozen}")
    table.add_section()
    killed = toll.killed.total() + toll.killed_at.total()
    table.add_row("all", "", f"{toll.armed.total()}", f"{killed}", f"{toll.frozen.total() + toll.frozen_at.total()}")
    return table


def _feeds(feeds: Availability) -> Table:
    table = Table("GET /api/feed answered", title="The API meanwhile", title_justify="left")
    table.add_column("times", justify="right")
    table.add_column("share", justify="right")
    asked = max(1, sum(feeds.answers.values()))
    for answer in (*GOOD, *sorted(set(feeds.answers) - set(GOOD))):
        table.add_row(answer, f"{feeds.answers[answer]:,}", f"{feeds.answers[answer] / asked:.2%}")
    table.add_section()
    table.add_row("available", "", f"{feeds.share:.2%}")
    table.add_row("longest unavailability", "", f"{feeds.longest:.1f} s")
    table.add_row("slowest answer", "", f"{feeds.slowest:.1f} s")
    return table


def _outcome(found: Findings) -> Table:
    table = Table("what became of it", title="The verdict", title_justify="left")
    table.add_column("", justify="right")
    verdict = found.verdict
    table.add_row("events sent (ids)", f"{found.sent:,}")
    table.add_row("  answers to POST /api/events", ", ".join(f"{n:,} × {a}" for a, n in sorted(found.answers.items())))
    table.add_row("changes in PostgreSQL", f"{found.changes:,}")
    if verdict is None:
        table.add_row("[red]not healed", found.not_healed)
        return table
    table.add_row("  everything had arrived after", f"{found.healed_in:.0f} s")
    rows: list[tuple[str, int, bool]] = [
        ("events acknowledged", verdict.acknowledged, False),
        ("  stored", verdict.stored, False),
        ("  lost", verdict.acknowledged - verdict.stored, True),
        ("  doubled (all sources)", verdict.doubled, True),
        ("  stored but never sent", verdict.unknown, True),
        ("broken messages sent", verdict.letters, False),
        ("  not kept as dead letters", verdict.letters_lost, True),
        ("aggregates: rows that drifted", sum(verdict.aggregates.values()), True),
        ("copies: rows that drifted", sum(verdict.copies.values()), True),
        ("posts whose likes or comments are miscounted", verdict.reactions, True),
    ]
    for what, count, bad in rows:
        colour = "" if not bad else "[red]" if count else "[green]"
        table.add_row(what, f"{colour}{count:,}")
    for name, count in {**verdict.aggregates, **verdict.copies}.items():
        table.add_row(f"    {name}", f"[red]{count:,}")
    if seen := found.control:
        said = f"{seen.lost} lost, {seen.doubled} doubled, {sum(seen.copies.values())} drifted"
        table.add_row("shown one spoilt row of each kind, the judge sees", said)
    return table
