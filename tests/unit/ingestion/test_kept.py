"""The kept offsets survive their packing, whatever their shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import kept


@given(lo=st.integers(0, 2**60), gaps=st.lists(st.integers(0, 300), max_size=200))
def test_what_is_packed_comes_out(lo, gaps):
    offsets = lo + np.cumsum(np.array([gap + (index > 0) for index, gap in enumerate(gaps)], np.int64))

    assert kept.decode(kept.encode(offsets, lo), lo).tolist() == offsets.tolist()


@pytest.mark.parametrize("dropped", [0, 1, 50])
def test_a_large_batch_takes_few_bytes(dropped):
    offsets = np.delete(np.arange(10**12, 10**12 + 50_000), np.arange(dropped) * 7)

    assert len(kept.encode(offsets, 10**12 - 5)) < 200
