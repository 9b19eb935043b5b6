"""Kafka messages to columns: a whole batch at once where every line is in order, one by one where not.

The quick way only ever says yes or "look closer": whatever it is unsure of goes the explaining way, message by message
through `contract.parse`. What both accept is the same, to the byte.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from ingestion import contract
from ingestion.errors import InvalidMessage

_UUIDS: Final = ("event_id", "user_id", "post_id", "author_id")
_TEXTS: Final = ("action", "source", "device", "app_ver")
_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in (*_UUIDS, "event_time", *_TEXTS)),
        ("dwell_ms", pa.int64()),
    ]
)
COLUMNS: Final = (
    "event_id",
    "event_time",
    "user_id",
    "post_id",
    "author_id",
    "action",
    "source",
    "dwell_ms",
    "device",
    "app_ver",
    "_topic_id",
    "_partition",
    "_offset",
)

_DASHES: Final = np.array([8, 13, 18, 23])
_HEXES: Final = np.delete(np.arange(36), _DASHES)
_TIME_SHAPE: Final = np.frombuffer(b"dddd-dd-ddTdd:dd:dd.ddddddZ", np.uint8)
# What is decoded in one go: small enough for a cache, and a broken message delays only its neighbours.
_AT_ONCE: Final = 8192
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_DAY: Final = 86_400_000_000

Int64s = npt.NDArray[np.int64]


class _LookCloser(Exception):
    """The quick way cannot vouch for this batch."""


@dataclass(frozen=True)
class Columns:
    """Valid events of one partition, by column.

    table: the columns of `COLUMNS` up to app_ver; UUIDs as 16 bytes, event_time in µs UTC. offsets: ascending.
    """

    table: pa.Table
    offsets: Int64s

    def __len__(self) -> int:
        return len(self.offsets)

    @cached_property
    def ids(self) -> bytes:
        """The event ids, 16 bytes each, one after the other."""
        return _fixed_bytes(self.table.column("event_id"), 16)

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
    except _LookCloser:
        return explain(values, offsets, stamps)


def quick(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Columns:
    """All of the batch by columns, or `_LookCloser`: it is not wholly in the canonical shape, or not wholly valid."""
    if not values or None in values:
        raise _LookCloser
    joined = b"\n".join(values)  # type: ignore[arg-type]
    letters = np.frombuffer(joined, np.uint8)
    lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    ends = np.cumsum(lengths + 1) - 2
    # Every line is one message, begins and ends as an object, and holds nothing that two readers could see differently.
    if (
        not lengths.all()
        or (letters[ends] != ord("}")).any()
        or (letters[ends - lengths + 1] != ord("{")).any()
        or np.count_nonzero(letters == ord("\n")) != len(values) - 1
        or b"\\" in joined
        or not _is_utf8(joined)
    ):
        raise _LookCloser
    columns = _columns(joined, len(values), offsets)
    _check_times(columns, stamps)
    return columns


def explain(values: Sequence[bytes | None], offsets: Int64s, stamps: Int64s) -> Read:
    """Each message by itself: what is valid in columns, and for the rest what is wrong."""
    lines, good, failed = [], [], []
    for position, (value, stamp) in enumerate(zip(values, stamps.tolist(), strict=True)):
        try:
            lines.append(contract.parse(value, _moment(stamp)).line())
            good.append(position)
        except InvalidMessage as error:
            failed.append((position, error))
    return Read(_columns(b"\n".join(lines), len(lines), offsets[np.array(good, np.int64)]), failed)


def _moment(stamp: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=stamp) if stamp >= 0 else None
    except OverflowError:
        return None


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _columns(joined: bytes, count: int, offsets: Int64s) -> Columns:
    """Columns of `count` canonical lines."""
    if not count:
        return Columns(pa.table({name: [] for name in COLUMNS[:10]}, schema=_table_schema()), offsets)
    try:
        # An unknown field goes the explaining way: within one, this parser takes NaN, which is no JSON.
        table = pj.read_json(
            pa.BufferReader(joined),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(joined) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="error"),
        ).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _LookCloser from error
    if table.num_rows != count or any(column.null_count for column in table.columns):
        raise _LookCloser
    table = table.select(_SCHEMA.names)
    values: dict[str, Any] = {name: _uuids(table.column(name)) for name in _UUIDS}
    values["event_time"] = _times(table.column("event_time"))
    for name, allowed in (
        ("action", contract.ACTIONS),
        ("source", contract.SOURCES),
        ("device", contract.DEVICES),
    ):
        if not set(pc.unique(table.column(name)).to_pylist()) <= allowed:
            raise _LookCloser
    for version in pc.unique(table.column("app_ver")).to_pylist():
        if len(version) > contract.LONGEST_APP_VER or not version.isprintable():
            raise _LookCloser
    dwell = pc.min_max(table.column("dwell_ms")).as_py()
    if dwell["min"] < 0 or dwell["max"] > contract.MOST_DWELL_MS:
        raise _LookCloser
    from_client = pc.equal(table.column("source"), "client")
    taken_back = pc.is_in(table.column("action"), value_set=pa.array(sorted(contract.TAKEN_BACK)))
    if pc.any(pc.and_(from_client, taken_back)).as_py():
        raise _LookCloser
    for name in _TEXTS:
        values[name] = table.column(name)
    values["dwell_ms"] = table.column("dwell_ms").cast(pa.uint32())
    return Columns(pa.table([values[name] for name in COLUMNS[:10]], schema=_table_schema()), offsets)


def _table_schema() -> pa.Schema:
    kinds = {name: pa.binary(16) for name in _UUIDS} | {
        "event_time": pa.timestamp("us", "UTC"),
        "dwell_ms": pa.uint32(),
    }
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS[:10]])


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> bytes:
    """The bytes of a column whose values all have `width` bytes."""
    array = column.combine_chunks()
    buffer = array.buffers()[-1]
    if pa.types.is_fixed_size_binary(array.type):
        return bytes(buffer[array.offset * width : (array.offset + len(array)) * width])
    starts = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)
    if (np.diff(starts) != width).any():
        raise _LookCloser
    return bytes(buffer[int(starts[0]) : int(starts[-1])])


def _uuids(column: pa.ChunkedArray) -> pa.Array:
    """UUIDs as 16 bytes, from their canonical text only."""
    letters = np.frombuffer(_fixed_bytes(column, 36), np.uint8).reshape(-1, 36)
    digits = np.take(letters, _HEXES, axis=1).tobytes()
    try:
        packed = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise _LookCloser from error
    # `fromhex` takes capitals too, and skips spaces.
    if digits != digits.lower() or len(packed) != 16 * len(letters) or (letters[:, _DASHES] != ord("-")).any():
        raise _LookCloser
    return pa.Array.from_buffers(pa.binary(16), len(letters), [None, pa.py_buffer(packed)])


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments from the one spelling `2026-11-23T12:00:00.000000Z`, within the years that a table can hold."""
    letters = np.frombuffer(_fixed_bytes(column, 27), np.uint8).reshape(-1, 27)
    shape = np.where((letters >= 48) & (letters <= 57), np.uint8(ord("d")), letters)
    if not (shape == _TIME_SHAPE).all():
        raise _LookCloser
    try:
        times = pc.cast(column, pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid as error:
        raise _LookCloser from error
    years = pc.min_max(pc.year(times)).as_py()
    if years["min"] < contract.FIRST_YEAR or years["max"] > contract.LAST_YEAR:
        raise _LookCloser
    return times


def _check_times(columns: Columns, stamps: Int64s) -> None:
    """The limits of `contract.check`, for all events at once."""
    if (stamps < 0).any() or (stamps > 4_102_444_800_000).any():
        raise _LookCloser
    ahead = columns.times - stamps * 1000
    from_table = np.asarray(pc.equal(columns.table.column("source"), "table").combine_chunks().to_numpy(False))
    day = timedelta(days=1)
    furthest = np.where(from_table, contract.BEHIND["table"] // day, contract.BEHIND["client"] // day) * _US_PER_DAY
    if (ahead > contract.AHEAD // timedelta(microseconds=1)).any() or (-ahead > furthest).any():
        raise _LookCloser
