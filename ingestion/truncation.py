"""TRUNCATE of a source table, which says nothing of the rows that it removed.

The version of the TRUNCATE is kept as a barrier: whatever is older is deleted. Two consumers may meet at it, one with
the TRUNCATE and one with older rows of another partition. Each writes first and looks afterwards (`empty` the barrier,
then the rows; `behind_barrier` its rows, then the barrier), so whichever comes second sees the other.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ingestion.decoders import ROWS, Row
from ingestion.reactions import TABLES as REACTION_TABLES
from ingestion.reactions import Reaction
from nova import clickhouse

_MOST_AT_ONCE = 20_000


def empty(table: str, version: int) -> Iterator[list[Reaction]]:
    """Delete every copy of a row of `table` that is older than `version`. Safe to repeat.

    Yields the reactions among them in pieces before they are deleted: what they counted must be taken back first, or a
    crash in between would leave it counted. Raises a `nova.errors` class.
    """
    clickhouse.command(
        "INSERT INTO truncations (table, version) VALUES ({table:String}, {version:UInt64})",
        {"table": table, "version": version},
        server_settings=clickhouse.INSERT_SETTINGS,
    )
    if table in REACTION_TABLES:
        yield from _live_reactions(table, version)
    target = ROWS[table].TARGET
    clickhouse.command(
        f"INSERT INTO {target} SELECT * REPLACE ({{version:UInt64}} AS version, 1 AS is_deleted) "
        f"FROM (SELECT * FROM {target} FINAL WHERE version < {{version:UInt64}})",
        {"version": version},
        timeout=600,
        # The same statement again, later, means other rows.
        server_settings={**clickhouse.INSERT_SETTINGS, "deduplicate_insert": "disable", "insert_deduplicate": 0},
    )


def _live_reactions(table: str, version: int) -> Iterator[list[Reaction]]:
    row_class = ROWS[table]
    names = [name for name, _, _ in row_class.columns()]
    where = f"FROM {row_class.TARGET} FINAL WHERE version < {{version:UInt64}}"
    [(count,)] = clickhouse.query(f"SELECT count() {where}", {"version": version}, timeout=120)
    pieces = count // _MOST_AT_ONCE + 1
    for piece in range(pieces):
        found = clickhouse.query(
            f"SELECT {', '.join(names)} {where} AND cityHash64(id) % {{pieces:UInt64}} = {{piece:UInt64}}",
            {"version": version, "pieces": pieces, "piece": piece},
            timeout=120,
        )
        rows: list[Any] = [row_class.from_bulk(dict(zip(names, row, strict=True)), version=version) for row in found]
        if rows:
            yield rows


def behind_barrier(rows: Iterable[Row]) -> list[Row]:
    """Those of `rows`, just inserted, whose table was truncated after them: as deletions, to be inserted too."""
    live = [row for row in rows if not row.is_deleted]
    if not live:
        return []
    tables = sorted({row.TABLE for row in live})
    found: Sequence[tuple[str, int]] = clickhouse.query(
        "SELECT table, max(version) FROM truncations WHERE table IN {tables:Array(String)} GROUP BY table",
        {"tables": tables},
    )
    barriers = dict(found)
    return [row.deleted(barriers[row.TABLE]) for row in live if row.version < barriers.get(row.TABLE, 0)]
