"""Which offsets of a batch were kept, in a few bytes: almost always one run, so runs are written and not offsets."""

import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]


def encode(offsets: Offsets, lo: int) -> bytes:
    """Pack ascending, distinct `offsets`, all ≥ `lo`: deflated varints, (gap before it, length − 1) for each run."""
    if not len(offsets):
        return b""
    breaks = np.flatnonzero(np.diff(offsets) != 1) + 1
    starts = offsets[np.concatenate(([0], breaks))]
    ends = offsets[np.concatenate((breaks - 1, [len(offsets) - 1]))]
    packed = bytearray()
    after = lo
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for number in (start - after, end - start):
            while number > 127:
                packed.append(number & 127 | 128)
                number >>= 7
            packed.append(number)
        after = end + 1
    return zlib.compress(bytes(packed), 1)


def decode(packed: bytes, lo: int) -> Offsets:
    """The offsets that `encode` packed with the same `lo`."""
    if not packed:
        return np.empty(0, np.int64)
    numbers = _varints(zlib.decompress(packed))
    runs = []
    after = lo
    for gap in numbers:
        start = after + gap
        after = start + next(numbers) + 1
        runs.append(np.arange(start, after, dtype=np.int64))
    return np.concatenate(runs)


def _varints(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
