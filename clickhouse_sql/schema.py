"""The declared schema: what the .sql files say, in the order in which they can be run.

`tables/` and `views/` describe the schema as it should be; on an empty server they are all that runs. `changes/` holds
what brings an older database there: numbered files, each run once, in order.
"""

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Script:
    """One .sql file. `name` is its path below clickhouse_sql, `statements` its statements without comments or `;`."""

    name: str
    statements: tuple[str, ...]


def _read(folder: str) -> list[Script]:
    paths = sorted((_HERE / folder).glob("*.sql"))
    return [Script(f"{folder}/{path.name}", _statements(path.read_text())) for path in paths]


def _statements(text: str) -> tuple[str, ...]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return tuple(part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" ;\n"))


def _ended(script: Script) -> Script:
    return Script(script.name, tuple(statement.rstrip(";") for statement in script.statements))


def declared() -> list[Script]:
    """Tables, then the views that join them: running all of them on an empty database makes the whole schema."""
    return [_ended(script) for script in (*_read("tables"), *_read("views"))]


def dictionary(name: str) -> Script:
    """What makes a dictionary: its own statement and the query that it reads, with `{names}` left to be filled in."""
    (script,) = (one for one in _read("dictionaries") if one.name == f"dictionaries/{name}.sql")
    return _ended(script)


def changes() -> list[Script]:
    """What turns an older schema into the declared one, oldest first."""
    return _read("changes")
