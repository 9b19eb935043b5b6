"""Debezium's JSON envelope: from a message's bytes to the change that it tells of."""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec

from ingestion.errors import InvalidMessage

# r: read by a snapshot, c: created, u: updated, d: deleted, t: the whole table was truncated.
Op = Literal["r", "c", "u", "d", "t"]
_OPS: Final[frozenset[str]] = frozenset(get_args(Op))
# The LSN shares 64 bits with the restore epoch, which has the upper 8.
LSN_LIMIT: Final = 1 << 56


class _Unavailable:
    """A value that PostgreSQL did not send, because it lies outside of the row (TOAST) and did not change."""

    def __repr__(self) -> str:
        return "UNAVAILABLE"


UNAVAILABLE: Final = _Unavailable()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row, or of a whole table (`t`).

    before, after: the row's columns by name as Debezium wrote them; `before` is None for r and c, `after` for d, both
    for t. `lsn`: position in the WAL; it rises with every change of one row, and says nothing across rows.
    """

    op: Op
    table: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    lsn: int

    def version(self, epoch: int) -> int:
        """What decides between two states of one row. epoch: how often the database was restored, 0..255."""
        # A snapshot is taken at the place where the first change after it may stand: that change is the newer one.
        return (epoch << 56) | (self.lsn - 1 if self.op == "r" else self.lsn)


class _Source(msgspec.Struct):
    table: str
    lsn: int | None = None


class _Envelope(msgspec.Struct):
    op: str | None = None
    source: _Source | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    # Only in the messages that are no changes: a heartbeat's time, a transaction's begin or end.
    ts_ms: int | None = None
    status: str | None = None


_decoder = msgspec.json.Decoder(_Envelope)


def parse(value: bytes | None, *, unavailable: str) -> Change | None:
    """The change in a message's `value`; None for a tombstone, a heartbeat or a transaction's begin or end.

    unavailable: the connector's `unavailable.value.placeholder`; such values come out as `UNAVAILABLE`.
    Raises `InvalidMessage` for everything else.
    """
    if value is None:
        return None
    try:
        envelope = _decoder.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidMessage("not_an_envelope", "", f"not a Debezium message: {error}") from error
    if envelope.op is None and envelope.source is None and (envelope.status or envelope.ts_ms):
        return None
    if envelope.op not in _OPS:
        raise InvalidMessage("not_an_envelope", "op", f"unknown operation {envelope.op!r}")
    if envelope.source is None or envelope.source.lsn is None or not 0 < envelope.source.lsn < LSN_LIMIT:
        raise InvalidMessage("not_an_envelope", "source.lsn", "a change without its place in the WAL")
    if envelope.op in "rcu" and envelope.after is None:
        raise InvalidMessage("not_an_envelope", "after", f"operation {envelope.op} without the new row")
    if envelope.op == "d" and envelope.before is None:
        raise InvalidMessage("not_an_envelope", "before", "a deletion without the old row")
    return Change(
        op=envelope.op,  # type: ignore[arg-type]  # it is one of _OPS
        table=envelope.source.table,
        before=_mark(envelope.before, unavailable),
        after=_mark(envelope.after, unavailable),
        lsn=envelope.source.lsn,
    )


def _mark(row: dict[str, Any] | None, unavailable: str) -> dict[str, Any] | None:
    if row is None or unavailable not in row.values():
        return row
    return {name: UNAVAILABLE if value == unavailable else value for name, value in row.items()}
