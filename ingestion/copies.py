"""The copies of the source tables, and how PostgreSQL and ClickHouse each fingerprint a row, alike.

A row's fingerprint is 60 bits of the MD5 of its columns, each written so that both databases write it the same: UUIDs
as text, texts as their MD5, times in µs since 1970, JSON without spaces. Fingerprints are summed over a range.

Two limits: `content_key`, which PostgreSQL cannot compute, is not compared; and a fraction inside of `media` (1.50), of
which the copy keeps the value and not the digits, would look different for ever. The API lets only texts in there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ingestion.connector import MESSAGE_KEYS
from ingestion.decoders import ROWS, Row
from ingestion.decoders.base import Date, Decimal, JsonList, Text, Timestamp, Uuid


@dataclass(frozen=True)
class _Kind:
    """A type of column: its names in PostgreSQL and ClickHouse, and what each writes for it; `{}` is the column."""

    postgres: str
    clickhouse: str
    written_here: str
    written_there: str


# In `{"a": "b c"}` as PostgreSQL writes jsonb, every space that is in no string is taken out.
_COMPACT = r"""regexp_replace({}::text, '("([^"\\]|\\.)*")|\s', '\1', 'g')"""
_KINDS = {
    Uuid: _Kind("uuid", "UUID", "{}::text", "toString({})"),
    Text: _Kind("text", "String", "md5({})", "lower(hex(MD5(toString({}))))"),
    Timestamp: _Kind(
        "timestamptz",
        "DateTime64(6, 'UTC')",
        "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint::text ELSE 'never' END",
        "toString(toUnixTimestamp64Micro({}))",
    ),
    # Without zeros at the end, as ClickHouse writes it.
    Decimal: _Kind("numeric", "Decimal(38, 10)", "trim_scale({})::text", "toString({})"),
    Date: _Kind("date", "Date32", "to_char({}, 'YYYY-MM-DD')", "toString({})"),
    JsonList: _Kind("jsonb", "String", f"md5({_COMPACT})", "lower(hex(MD5({})))"),
}
_BY_COLUMN = {type(get_args(alias)[1]): kind for alias, kind in _KINDS.items()}

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Copy:
    """A table of ClickHouse that must hold what a source table holds.

    key: the columns that it is ordered by; columns: those that are compared; ranged_by: the UUID column by whose text
    the ranges are cut.
    """

    table: str
    target: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    ranged_by: str = "id"

    @property
    def row(self) -> type[Row]:
        return ROWS[self.table]

    def _kind(self, column: str) -> _Kind:
        return next(_BY_COLUMN[type(kind)] for name, kind, _ in self.row.columns() if name == column)

    @property
    def postgres_key(self) -> dict[str, str]:
        """PostgreSQL's type of each key column, by name."""
        return {name: self._kind(name).postgres for name in self.key}

    @property
    def clickhouse_key(self) -> list[tuple[str, str]]:
        """Name and type of each key column in ClickHouse."""
        return [(name, self._kind(name).clickhouse) for name in self.key]

    @property
    def fingerprint_here(self) -> str:
        """The SQL of a row's fingerprint in PostgreSQL: a bigint, 0..2^60 - 1."""
        written = ", ".join(self._kind(name).written_here.format(name) for name in self.columns)
        return f"('x0' || substr(md5(concat_ws('|', {written})), 1, 15))::bit(64)::bigint"

    @property
    def fingerprint_there(self) -> str:
        """The same in ClickHouse: a UInt64."""
        written = ", ".join(self._kind(name).written_there.format(name) for name in self.columns)
        digest = f"MD5(arrayStringConcat([{written}], '|'))"
        return f"bitShiftRight(reinterpretAsUInt64(reverse(substring({digest}, 1, 8))), 4)"


def _main(row: type[Row]) -> Copy:
    columns = tuple(name for name, _, _ in row.columns())
    return Copy(row.TABLE, row.TARGET, tuple(MESSAGE_KEYS[row.TABLE].split(",")), columns)


COPIES = (
    *(_main(row) for row in ROWS.values()),
    Copy(
        "posts",
        "posts_by_author",
        ("author_id", "created_at", "id"),
        ("author_id", "created_at", "id", "text", "media"),
    ),
    Copy(
        "blocks",
        "blocks_by_blocked",
        ("blocked_id", "blocker_id", "kind"),
        ("blocked_id", "blocker_id", "kind"),
        ranged_by="blocked_id",
    ),
)


def of(tables: Sequence[str] | None) -> list[Copy]:
    """The copies of these source tables; all without. Raises `ValueError` for a name that is none."""
    unknown = sorted(set(tables or ()) - ROWS.keys())
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no source table; there are {', '.join(sorted(ROWS))}")
    return [copy for copy in COPIES if not tables or copy.table in tables]
