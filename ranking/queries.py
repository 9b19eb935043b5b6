"""The queries of ranking, one file each in clickhouse_sql/queries. A file named _part.sql is part of others."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "clickhouse_sql" / "queries"
_PARTS = ("hidden", "seen")


@cache
def sql(name: str, *more: str) -> str:
    """The text of {name}.sql, each `/*part*/` in it replaced by _part.sql. more: the parts that are not always wanted;
    left out, they are comments."""
    text = (_FOLDER / f"{name}.sql").read_text()
    for part in (*_PARTS, *more):
        if f"/*{part}*/" in text:
            text = text.replace(f"/*{part}*/", (_FOLDER / f"_{part}.sql").read_text().strip())
    return text


def moment(value: datetime) -> str:
    """A time as a parameter of type DateTime64(6, 'UTC'); the driver would cut it to seconds, in the server's zone."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
