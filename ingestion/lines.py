"""Lines of events (`contract.Event.line`) to columns, thousands at once, in the one spelling that Nova itself writes.

Up to its action a line has fields of fixed width at fixed places: they are compared and cut out, and only the short
rest is for a parser. Whatever is not certainly in order is refused (`LookCloser`), not explained.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from ingestion import contract
from ingestion.contract import NOBODY

Letters = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_UUIDS: Final = ("event_id", "user_id", "post_id", "author_id")
# What ClickHouse keeps as places in a list of words goes there as that.
_WORDS: Final = {
    "action": pa.array(sorted(contract.ACTIONS)),
    "source": pa.array(sorted(contract.SOURCES)),
    "device": pa.array(sorted(contract.DEVICES)),
}
SCHEMA: Final = pa.schema(
    {
        "event_id": pa.binary(16),
        "event_time": pa.timestamp("us", "UTC"),
        "user_id": pa.binary(16),
        "post_id": pa.binary(16),
        "author_id": pa.binary(16),
        "action": pa.dictionary(pa.int8(), pa.string()),
        "source": pa.dictionary(pa.int8(), pa.string()),
        "dwell_ms": pa.uint32(),
        "device": pa.dictionary(pa.int8(), pa.string()),
        "app_ver": pa.dictionary(pa.int32(), pa.string()),
    }
)
_REST: Final = pa.schema({name: pa.string() for name in (*_WORDS, "app_ver")} | {"dwell_ms": pa.int64()})

_EXAMPLE: Final = contract.Event(
    event_id=NOBODY,
    event_time=datetime(2026, 1, 1, tzinfo=UTC),
    user_id=NOBODY,
    post_id=NOBODY,
    author_id=NOBODY,
    action="view",
).line()
_WIDTH: Final = _EXAMPLE.index(b'"action"')
_HEAD: Final = np.frombuffer(_EXAMPLE, np.uint8, _WIDTH)


def _place(name: str, width: int) -> slice:
    start = _EXAMPLE.index(b'"%s":"' % name.encode()) + len(name) + 4
    return slice(start, start + width)


_PLACES: Final = {name: _place(name, 36) for name in _UUIDS} | {"event_time": _place("event_time", 27)}
# All bits set where all heads are the same.
_SAME: Final = np.full(_WIDTH, 255, np.uint8)
for _taken in _PLACES.values():
    _SAME[_taken] = 0

_DASHES: Final = np.array([8, 13, 18, 23])
_HEXES: Final = np.delete(np.arange(36), _DASHES)
_TIME_SHAPE: Final = np.frombuffer(b"dddd-dd-ddTdd:dd:dd.ddddddZ", np.uint8)


class LookCloser(Exception):
    """The quick way cannot vouch for these lines."""


def table(lines: Sequence[bytes], *, strictly: bool = False) -> pa.Table:
    """`SCHEMA`'s columns of these lines, at least one. Raises `LookCloser`.

    strictly: refuse also what two readers could see differently, as it must be asked of lines that others wrote.
    """
    heads = np.frombuffer(b"".join([line[:_WIDTH] for line in lines]), np.uint8)
    if heads.size != len(lines) * _WIDTH:
        raise LookCloser
    heads = heads.reshape(-1, _WIDTH)
    if ((heads ^ _HEAD) & _SAME).any():
        raise LookCloser
    rest = _rest([line[_WIDTH:] for line in lines], strictly)
    values: dict[str, Any] = {name: _uuids(heads[:, _PLACES[name]]) for name in _UUIDS}
    values["event_time"] = _times(heads[:, _PLACES["event_time"]])
    values |= {name: _places(rest.column(name), words) for name, words in _WORDS.items()}
    if (among(values["source"], {"client"}) & among(values["action"], contract.TAKEN_BACK)).any():
        raise LookCloser
    values["app_ver"] = rest.column("app_ver").combine_chunks().dictionary_encode()
    for version in values["app_ver"].dictionary.to_pylist():
        if len(version) > contract.LONGEST_APP_VER or not version.isprintable():
            raise LookCloser
    dwell = pc.min_max(rest.column("dwell_ms")).as_py()
    if dwell["min"] < 0 or dwell["max"] > contract.MOST_DWELL_MS:
        raise LookCloser
    values["dwell_ms"] = rest.column("dwell_ms").cast(pa.uint32())
    return pa.table([values[name] for name in SCHEMA.names], schema=SCHEMA)


def _rest(ends: Sequence[bytes], strictly: bool) -> pa.Table:
    """The fields from the action on, in what is left of each line."""
    joined = b"{" + b"\n{".join(ends)
    if strictly:
        letters = np.frombuffer(joined, np.uint8)
        breaks = np.flatnonzero(letters == ord("\n"))
        # Each line is one message and ends as an object; it began as one.
        one_each = len(breaks) == len(ends) - 1 and joined.endswith(b"}") and (letters[breaks - 1] == ord("}")).all()
        if not one_each or b"\\" in joined or not _is_utf8(joined):
            raise LookCloser
    try:
        # An unknown field is refused: within one, this parser takes NaN, which is no JSON.
        rest = pj.read_json(
            pa.BufferReader(joined),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(joined) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_REST, unexpected_field_behavior="error"),
        ).combine_chunks()
    except pa.ArrowException as error:
        raise LookCloser from error
    if rest.num_rows != len(ends) or any(column.null_count for column in rest.columns):
        raise LookCloser
    return rest


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def among(column: pa.DictionaryArray, words: Collection[str]) -> Mask:
    """Which rows hold one of these words."""
    wanted = np.array([word in words for word in column.dictionary.to_pylist()], bool)
    found: Mask = wanted[column.indices.to_numpy()]
    return found


def _places(column: pa.ChunkedArray, words: pa.Array) -> pa.DictionaryArray:
    """A column that holds none but these words."""
    places = pc.index_in(column, words).combine_chunks()
    if places.null_count:
        raise LookCloser
    return pa.DictionaryArray.from_arrays(places.cast(pa.int8()), words)


def _uuids(letters: Letters) -> pa.Array:
    """UUIDs as 16 bytes, from their canonical text only."""
    digits = np.take(letters, _HEXES, axis=1).tobytes()
    try:
        packed = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise LookCloser from error
    # `fromhex` takes capitals too, and skips spaces.
    if digits != digits.lower() or len(packed) != 16 * len(letters) or (letters[:, _DASHES] != ord("-")).any():
        raise LookCloser
    return pa.Array.from_buffers(pa.binary(16), len(letters), [None, pa.py_buffer(packed)])


def _times(letters: Letters) -> pa.Array:
    """Moments from the one spelling `2026-11-23T12:00:00.000000Z`, within the years that a table can hold."""
    shape = np.where((letters >= ord("0")) & (letters <= ord("9")), np.uint8(ord("d")), letters)
    if not (shape == _TIME_SHAPE).all():
        raise LookCloser
    count, width = letters.shape
    ends = pa.py_buffer(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    text = pa.Array.from_buffers(pa.string(), count, [None, ends, pa.py_buffer(letters.tobytes())])
    try:
        times = pc.cast(text, pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid as error:
        raise LookCloser from error
    years = pc.min_max(pc.year(times)).as_py()
    if years["min"] < contract.FIRST_YEAR or years["max"] > contract.LAST_YEAR:
        raise LookCloser
    return times
