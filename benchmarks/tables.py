"""How every benchmark shows what it found: the same tables on the terminal and in benchmarks/results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"
Rows = list[list[str]]
# Title, heading, lines.
Section = tuple[str, list[str], Rows]


@dataclass(frozen=True)
class Target:
    """What was hoped for, in words, and what this run found."""

    what: str
    wanted: str
    found: float
    met: bool


def show(sections: Iterable[Section], console: Console) -> None:
    """The tables on the terminal."""
    for title, heading, rows in sections:
        table = Table(*heading, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def markdown(sections: Iterable[Section]) -> list[str]:
    """A chapter for each table."""
    return [f"## {title}\n\n{_table([heading, ['---'] * len(heading), *rows])}" for title, heading, rows in sections]


def _table(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
