"""Debezium's envelope: changes come out of it, what is none is skipped, and anything else is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.envelope import Change, parse
from ingestion.errors import InvalidMessage
from tests.unit.ingestion.debezium import NAMES, UNAVAILABLE, changes, messages


@pytest.mark.parametrize("name", NAMES)
def test_every_captured_message_is_understood(name):
    for message in messages(name):
        change = parse(message.value(), unavailable=UNAVAILABLE)
        assert (change is None) == (message.value() is None or "debezium-heartbeat" in message.topic())


def test_operations():
    assert [change.op for change in changes("truncate_cascade")] == ["t", "t", "t"]
    assert {change.table for change in changes("truncate_cascade")} == {"posts", "likes", "comments"}
    # One TRUNCATE of several tables has one position.
    assert len({change.lsn for change in changes("truncate_cascade")}) == 1
    assert changes("snapshot")[0].op == "r"


def test_a_transactions_begin_is_no_change():
    begin = {"status": "BEGIN", "id": "571:53195829", "event_count": None, "ts_ms": 1580390884335}
    assert parse(json.dumps(begin).encode(), unavailable=UNAVAILABLE) is None


def envelope(**fields: object) -> bytes:
    good = {"op": "c", "source": {"table": "posts", "lsn": 8}, "before": None, "after": {"id": "x"}}
    return json.dumps({**good, **fields}).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"ts_ms": "now"}',
        b'{"op": "c", "source": {"table": "posts", "lsn": 8}, "after": {"id": NaN}}',
        b'{"op": "c", "source": {"table": "posts", "lsn": 8}, "after": {"id": "\\ud800"}}',
        b"[" * 100_000,
        envelope(op="m"),
        envelope(op=None),
        envelope(after=None),
        envelope(op="d"),
        envelope(source=None),
        envelope(source={"table": "posts"}),
        envelope(source={"table": "posts", "lsn": 0}),
        envelope(source={"table": "posts", "lsn": 1 << 56}),
        envelope(source={"table": "posts", "lsn": 10**30}),
        envelope(after="text"),
    ],
    ids=lambda value: value[:30].decode(errors="replace"),
)
def test_poison_is_refused_not_raised(value):
    with pytest.raises(InvalidMessage):
        parse(value, unavailable=UNAVAILABLE)


@given(
    st.binary()
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_change_or_an_invalid_message(value):
    with suppress(InvalidMessage):
        parse(value, unavailable=UNAVAILABLE)


@given(st.integers(1, (1 << 56) - 1), st.integers(1, (1 << 56) - 1), st.integers(0, 255), st.integers(0, 255))
def test_versions_order_by_epoch_then_position(lsn, other, epoch, later):
    def version(position: int, restored: int) -> int:
        return Change("u", "posts", {}, {}, position).version(restored)

    assert (version(lsn, epoch) < version(other, later)) == ((epoch, lsn) < (later, other))
    assert 0 <= version(lsn, epoch) < 1 << 64
