"""From a source row to its copy: what each column means, said once per table, for the stream and the backfill alike.

A row class lists its columns with the types below. A column that the source has and the class does not is ignored; one
that the class has and the source does not stops the consumer, because guessing a value would spoil the copy.
"""

import decimal
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, Self, get_type_hints
from uuid import UUID

import msgspec

from ingestion.envelope import UNAVAILABLE, Change
from ingestion.errors import EXIT_SETTINGS, Halt, InvalidMessage
from nova.depth import DEEPEST, is_deeper

# What a DateTime64(6) can hold; ClickHouse would clamp anything beyond it without a word.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d+(\.\d+)?(E[+-]?\d+)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\dZ?", re.ASCII)
_TOO_DEEP = f"is nested more than {DEEPEST} deep"


class Column(Protocol):
    """A semantic type. `read` takes what Debezium or psycopg gives; it raises `ValueError` for anything else."""

    def read(self, value: Any) -> Any: ...

    def write(self, value: Any) -> Any:
        """The value as ClickHouse's JSONEachRow takes it."""


class _Uuid:
    def read(self, value: Any) -> UUID:
        if isinstance(value, UUID):
            return value
        if not isinstance(value, str) or len(value) != 36:
            raise ValueError("is no UUID")
        return UUID(value)

    def write(self, value: UUID) -> str:
        return str(value)


class _Text:
    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("is no text")
        return value

    def write(self, value: str) -> str:
        return value


class _Timestamp:
    """A timestamptz: ISO 8601 with its zone from Debezium (`isostring`), aware from psycopg; kept in UTC, to the µs."""

    def read(self, value: Any) -> datetime:
        if isinstance(value, str) and "T" in value:
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ValueError("is no point in time")
        if not EARLIEST <= value <= LATEST:
            raise ValueError("is not between the years 1900 and 2299")
        return value.astimezone(UTC)

    def write(self, value: datetime) -> str:
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")


class _Decimal:
    """A numeric: its digits as text from Debezium (`string`), a Decimal from psycopg. NaN and infinity are refused."""

    def read(self, value: Any) -> decimal.Decimal:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = decimal.Decimal(value)
        if not isinstance(value, decimal.Decimal) or not value.is_finite():
            raise ValueError("is no decimal number")
        return value

    def write(self, value: decimal.Decimal) -> str:
        return f"{value:f}"


class _Date:
    """A date: ISO 8601 from Debezium (`isostring`, which writes a Z behind it), a date from psycopg."""

    def read(self, value: Any) -> date:
        if isinstance(value, str) and _DAY.fullmatch(value):
            value = date.fromisoformat(value.removesuffix("Z"))
        if not isinstance(value, date) or isinstance(value, datetime):
            raise ValueError("is no date")
        if not EARLIEST.date() <= value <= LATEST.date():
            raise ValueError("is not between the years 1900 and 2299")
        return value

    def write(self, value: date) -> str:
        return value.isoformat()


class _JsonList:
    """A jsonb list of objects: JSON text from Debezium, text or parsed from psycopg."""

    def read(self, value: Any) -> list[dict[str, Any]]:
        try:
            if isinstance(value, str):
                found = msgspec.json.decode(value, type=list[dict[str, Any]])
            else:
                found = msgspec.convert(value, list[dict[str, Any]])
        except msgspec.MsgspecError as error:
            raise ValueError(f"is no JSON list of objects: {error}") from error
        except RecursionError:
            raise ValueError(_TOO_DEEP) from None
        if is_deeper(found):
            raise ValueError(_TOO_DEEP)
        return found

    def write(self, value: list[dict[str, Any]]) -> str:
        return msgspec.json.encode(value).decode()


Uuid = Annotated[UUID, _Uuid()]
Text = Annotated[str, _Text()]
Timestamp = Annotated[datetime, _Timestamp()]
# For the tables of a deployment's own; Nova's have no such columns. In ClickHouse: Decimal(P, S), Date32.
Decimal = Annotated[decimal.Decimal, _Decimal()]
Date = Annotated[date, _Date()]
JsonList = Annotated[list[dict[str, Any]], _JsonList()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a source table, as ClickHouse keeps its copy. Subclasses are the tables."""

    TABLE: ClassVar[str]
    TARGET: ClassVar[str]
    # What any copy of the table is ordered by: when one of these changes, the old key must be deleted.
    KEY: ClassVar[tuple[str, ...]]

    version: int
    is_deleted: bool = False

    @classmethod
    def from_change(cls, change: Change, *, epoch: int) -> "Decoded":
        """What a change of one row makes of the copy. Raises `InvalidMessage`, or `Halt` when a column is gone.

        epoch: the restore epoch of the database, 0..255.
        """
        version = change.version(epoch)
        if change.op == "d":
            gone = cls._read(change.before or {}, version=version, is_deleted=True)
            return Decoded(change=change, old=gone, new=None, rows=[gone])
        new = cls._read(change.after or {}, version=version)
        old = cls._old(change, version)
        # One less than the change, in case the two meet under one key: an LSN is a multiple of 8, so this one is free.
        moved = [old] if old is not None and any(getattr(old, k) != getattr(new, k) for k in cls.KEY) else []
        return Decoded(change=change, old=old, new=new, rows=[*moved, new])

    @classmethod
    def _old(cls, change: Change, version: int) -> Self | None:
        if change.op != "u" or change.before is None:
            return None
        try:
            return cls._read(change.before, version=version - 1, is_deleted=True)
        except InvalidMessage:
            # The old row could not be stored either, so there is nothing to take back.
            return None

    @classmethod
    def from_bulk(cls, values: Mapping[str, Any], *, version: int) -> Self:
        """The row that a SELECT returned, `values` by column name. Raises as `from_change` does."""
        return cls._read(values, version=version)

    @classmethod
    def _read(cls, values: Mapping[str, Any], *, version: int, is_deleted: bool = False) -> Self:
        read: dict[str, Any] = {}
        for name, column, required in cls.columns():
            if name not in values:
                if required:
                    raise Halt(
                        f"{cls.TABLE}.{name} is missing from a change: was the column dropped or renamed? "
                        f"Its copy cannot be kept without it. The row has: {', '.join(sorted(values))}",
                        EXIT_SETTINGS,
                    )
                continue
            value = values[name]
            if value is UNAVAILABLE:
                raise InvalidMessage(
                    "value_unavailable", name, "PostgreSQL did not send it: the table needs REPLICA IDENTITY FULL"
                )
            try:
                read[name] = column.read(value)
            except ValueError as error:
                raise InvalidMessage("bad_column", name, f"{str(value)[:100]!r} {error}") from error
        return cls(**read, version=version, is_deleted=is_deleted)

    def to_clickhouse(self) -> dict[str, Any]:
        """The row for JSONEachRow, by column name of `TARGET`."""
        row = {name: column.write(getattr(self, name)) for name, column, _ in self.columns()}
        return {**row, **self.derived(), "version": self.version, "is_deleted": int(self.is_deleted)}

    def deleted(self, version: int) -> Self:
        """The deletion of this row at `version`."""
        return replace(self, version=version, is_deleted=True)

    @classmethod
    def columns(cls) -> list[tuple[str, Column, bool]]:
        """Name, semantic type and "must be there" of each column that is taken from the source."""
        row: Any = cls
        return _columns(row)

    def derived(self) -> dict[str, Any]:
        """Columns of the copy that the source does not have."""
        return {}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A change as rows. `old` and `new`: the row before and after, where known; `rows`: what to insert, in order."""

    change: Change
    old: Any
    new: Any
    rows: list[Row]


@cache
def _columns(row: Any) -> list[tuple[str, Column, bool]]:
    hints = get_type_hints(row, include_extras=True)
    found = []
    for field in fields(row):
        column = next(iter(getattr(hints[field.name], "__metadata__", ())), None)
        if column is not None:
            found.append((field.name, column, field.default is MISSING and field.default_factory is MISSING))
    return found


def encode(rows: list[Row]) -> bytes:
    """`rows` of one table as JSONEachRow."""
    return b"\n".join(msgspec.json.encode(row.to_clickhouse()) for row in rows)
