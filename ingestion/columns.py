"""Kafka messages to columns: a whole batch at once where every line is in order, one by one where not.

The quick way only ever says yes or "look closer": whatever it is unsure of goes the explaining way, message by message
through `contract.parse`. What both accept is the same, to the byte.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion import contract, lines
from ingestion.errors import InvalidMessage
from ingestion.lines import LookCloser

COLUMNS: Final = (*lines.SCHEMA.names, "_topic_id", "_partition", "_offset")

# What is decoded in one go: small enough for a cache, and a broken message delays only its neighbours.
_AT_ONCE: Final = 8192
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_DAY: Final = 86_400_000_000

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Valid events of one partition, by column.

    table: the columns of `COLUMNS` up to app_ver, as `lines.SCHEMA` has them. offsets: ascending.
    """

    table: pa.Table
    offsets: Int64s

    def __len__(self) -> int:
        return len(self.offsets)

    @cached_property
    def ids(self) -> bytes:
        """The event ids, 16 bytes each, one after the other."""
        array = self.table.column("event_id").combine_chunks()
        return bytes(array.buffers()[-1][array.offset * 16 : (array.offset + len(array)) * 16])

    @cached_property
    def times(self) -> Int64s:
        """event_time in µs since 1970."""
        times: Int64s = self.table.column("event_time").combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
        return times

    @property
    def days(self) -> Int64s:
        """event_time in days since 1970."""
        return self.times // _US_PER_DAY

    def where(self, kept: npt.NDArray[np.bool_]) -> "Columns":
        """Only the rows that are `kept`."""
        if kept.all():
            return self
        return Columns(self.table.filter(pa.array(kept)), self.offsets[kept])

    def arrow_stream(self, topic_id: str, partition: int) -> bytes:
        """The rows with their coordinates as ClickHouse's format ArrowStream, in the order of `COLUMNS`."""
        count = len(self)
        always = pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), [topic_id])
        table = self.table.append_column("_topic_id", always)
        table = table.append_column("_partition", pa.repeat(pa.scalar(partition, pa.uint32()), count))
        table = table.append_column("_offset", pa.array(self.offsets.astype(np.uint64)))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            # One record batch: an insert must be one block.
            writer.write_table(table.combine_chunks())
        return sink.getvalue()


@dataclass(frozen=True)
class Read:
    """What a batch held: the valid events, and the positions and errors of the others."""

    columns: Columns
    failed: list[tuple[int, InvalidMessage]]


def read(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Read:
    """Decode and validate a batch, whatever its messages hold. stamps: Kafka's timestamps in ms, −1 for none."""
    starts = range(0, max(1, len(values)), _AT_ONCE)
    slices = [slice(at, at + _AT_ONCE) for at in starts]
    parts = [_read(values[some], offsets[some], stamps[some]) for some in slices]
    if len(parts) == 1:
        return parts[0]
    return Read(
        joined([part.columns for part in parts]),
        [(at + position, error) for at, part in zip(starts, parts, strict=True) for position, error in part.failed],
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """All of them, one after the other."""
    table = pa.concat_tables([part.table for part in parts]).combine_chunks()
    return Columns(table, np.concatenate([part.offsets for part in parts]))


def _read(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Read:
    try:
        return Read(quick(values, offsets, stamps), [])
    except LookCloser:
        return explain(values, offsets, stamps)


def quick(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Columns:
    """All of the batch by columns, or `LookCloser`: it is not wholly in the canonical shape, or not wholly valid."""
    if not values or None in values:
        raise LookCloser
    columns = Columns(lines.table(values, strictly=True), offsets)  # type: ignore[arg-type]
    _check_times(columns, stamps)
    return columns


def explain(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Read:
    """Each message by itself: what is valid in columns, and for the rest what is wrong."""
    canonical, good, failed = [], [], []
    for position, (value, stamp) in enumerate(zip(values, stamps.tolist(), strict=True)):
        try:
            canonical.append(contract.parse(value, _moment(stamp)).line())
            good.append(position)
        except InvalidMessage as error:
            failed.append((position, error))
    table = lines.table(canonical) if canonical else lines.SCHEMA.empty_table()
    return Read(Columns(table, offsets[np.array(good, np.int64)]), failed)


def _moment(stamp: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=stamp) if stamp >= 0 else None
    except OverflowError:
        return None


def _check_times(columns: Columns, stamps: Int64s) -> None:
    """The limits of `contract.check`, for all events at once."""
    if (stamps < 0).any() or (stamps > 4_102_444_800_000).any():
        raise LookCloser
    ahead = columns.times - stamps * 1000
    from_table = lines.among(columns.table.column("source").combine_chunks(), {"table"})
    day = timedelta(days=1)
    furthest = np.where(from_table, contract.BEHIND["table"] // day, contract.BEHIND["client"] // day) * _US_PER_DAY
    furthest += contract.UNDER_WAY // timedelta(microseconds=1)
    if (ahead > contract.AHEAD // timedelta(microseconds=1)).any() or (-ahead > furthest).any():
        raise LookCloser
