"""Fingerprints of rows and ranges, asked of both databases (see ingestion/copies.py)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from django.db import connection

from ingestion import repair
from ingestion.copies import Copy, Key
from nova import clickhouse

BEYOND = "g"  # sorts behind the text of every UUID
KEYS_AT_ONCE = 2000
_SECONDS = 600

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


# What was seen of a row: its fingerprint in PostgreSQL and in ClickHouse, None where it is not.
Seen = tuple[int | None, int | None]


@dataclass(frozen=True)
class Range:
    """Ids behind `lo` up to `hi`, as text; "" and `BEYOND` at the ends."""

    lo: str
    hi: str

    def __str__(self) -> str:
        return f"{self.lo or 'first'} … {'last' if self.hi == BEYOND else self.hi}"


def look(copy: Copy, keys: Sequence[Key]) -> dict[Key, Seen]:
    """Those of these rows that are not the same now."""
    found: dict[Key, Seen] = {}
    for some in batches(keys, KEYS_AT_ONCE):
        here, there = _by_key_here(copy, some), _by_key_there(copy, some)
        found |= {key: (here.get(key), there.get(key)) for key in some if here.get(key) != there.get(key)}
    return found


# PostgreSQL ----------------------------------------------------------------------------------------------------------


def _here(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def ranges(copy: Copy, rows: int) -> Iterator[Range]:
    """Ranges of about `rows` rows of PostgreSQL each, in the order of ids. The last one has no end."""
    lo, column = "", copy.ranged_by
    while True:
        behind, values = (f"WHERE {column} > %s", [lo]) if lo else ("", [])
        found = _here(
            f"SELECT {column}::text FROM {copy.table} {behind} ORDER BY {column} OFFSET {rows - 1:d} LIMIT 1", values
        )
        if not found:
            yield Range(lo, BEYOND)
            return
        yield Range(lo, found[0][0])
        lo = found[0][0]


def _within(copy: Copy, one: Range) -> tuple[str, list[str]]:
    conditions, values = ["true"], []
    if one.lo:
        conditions.append(f"{copy.ranged_by} > %s")
        values.append(one.lo)
    if one.hi != BEYOND:
        conditions.append(f"{copy.ranged_by} <= %s")
        values.append(one.hi)
    return " AND ".join(conditions), values


def sum_here(copy: Copy, one: Range) -> tuple[int, int]:
    condition, values = _within(copy, one)
    [(count, total)] = _here(
        f"SELECT count(*), coalesce(sum({copy.fingerprint_here}), 0) FROM {copy.table} WHERE {condition}", values
    )
    return int(count), int(total)


def rows_here(copy: Copy, one: Range) -> dict[Key, int]:
    condition, values = _within(copy, one)
    sql = f"SELECT {', '.join(copy.key)}, {copy.fingerprint_here} FROM {copy.table} WHERE {condition}"
    return _fingerprints(_here(sql, values))


def _by_key_here(copy: Copy, keys: Sequence[Key]) -> dict[Key, int]:
    condition, arrays = repair.keys_in(copy, keys)
    sql = f"SELECT {', '.join(copy.key)}, {copy.fingerprint_here} FROM {copy.table} WHERE {condition}"
    return _fingerprints(_here(sql, arrays))


# ClickHouse ----------------------------------------------------------------------------------------------------------


def sums_there(copy: Copy, window: Sequence[Range]) -> dict[int, tuple[int, int]]:
    """Count and sum of each range of the window that has rows, by its place in it."""
    by = f"toString({copy.ranged_by})"
    rows = clickhouse.query(
        "WITH {lows:Array(String)} AS lows, {highs:Array(String)} AS highs "
        f"SELECT arrayFirstIndex((lo, hi) -> {by} > lo AND {by} <= hi, lows, highs) AS place, "
        f"count(), sum(toUInt128({copy.fingerprint_there})) FROM {copy.target} FINAL "
        f"WHERE {_within_there(copy)} "
        "GROUP BY place HAVING place > 0",
        {
            "lows": [one.lo for one in window],
            "highs": [one.hi for one in window],
            "lo": window[0].lo,
            "hi": window[-1].hi,
        },
        timeout=_SECONDS,
    )
    return {place - 1: (count, total) for place, count, total in rows}


def beginning(copy: Copy, one: Range, rows: int) -> Range:
    """The part of a range that holds its first `rows` rows of ClickHouse."""
    found = clickhouse.query(
        f"SELECT toString({copy.ranged_by}) AS place FROM {copy.target} FINAL WHERE {_within_there(copy)} "
        "ORDER BY place LIMIT 1 OFFSET {before:UInt64}",
        {"lo": one.lo, "hi": one.hi, "before": rows - 1},
        timeout=_SECONDS,
    )
    return Range(one.lo, found[0][0]) if found else one


def rows_there(copy: Copy, one: Range) -> dict[Key, int]:
    return _fingerprints(
        clickhouse.query(
            f"SELECT {', '.join(copy.key)}, {copy.fingerprint_there} FROM {copy.target} FINAL "
            f"WHERE {_within_there(copy)}",
            {"lo": one.lo, "hi": one.hi},
            timeout=_SECONDS,
        )
    )


def _within_there(copy: Copy) -> str:
    by = f"toString({copy.ranged_by})"
    return f"{by} > {{lo:String}} AND {by} <= {{hi:String}}"


def _by_key_there(copy: Copy, keys: Sequence[Key]) -> dict[Key, int]:
    names = ", ".join(copy.key)
    return _fingerprints(
        clickhouse.query(
            f"SELECT {names}, {copy.fingerprint_there} FROM {copy.target} FINAL WHERE {repair.asked(copy)}",
            timeout=_SECONDS,
            tables={"asked": (copy.clickhouse_key, keys)},
        )
    )


def _fingerprints(rows: Sequence[tuple[Any, ...]]) -> dict[Key, int]:
    return {tuple(key): fingerprint for *key, fingerprint in rows}
