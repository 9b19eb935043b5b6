"""Cursors: what was encoded is found again, everything else is refused."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community.paging import Cursor

moments = st.datetimes(
    min_value=datetime(1, 1, 1),
    max_value=datetime(9999, 12, 31),
    timezones=st.just(UTC),
)


@given(moments, st.uuids())
def test_a_cursor_comes_back(moment, identifier):
    cursor = Cursor(moment, identifier)
    text = cursor.encode()
    assert Cursor.decode(text) == cursor
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.one_of(st.text(max_size=40), st.text(alphabet="abcXYZ019-_=+/ é", min_size=32, max_size=32)))
def test_other_texts_are_refused_or_read_never_worse(text):
    with contextlib.suppress(ValueError):
        assert Cursor.decode(text).encode() == text


@pytest.mark.parametrize("text", ["", "x", "é" * 32, "+" * 32, "A" * 31 + "=", "f" + "_" * 31])
def test_what_is_no_cursor(text):
    with pytest.raises(ValueError, match="cursor"):
        Cursor.decode(text)
