"""Bad data passes as dead letters; a bad deploy stops the consumer before it makes a dead letter of everything."""

import base64

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from ingestion import dead_letters
from ingestion.dead_letters import Limits
from ingestion.errors import EXIT_DEAD_LETTERS, Halt, InvalidMessage
from ingestion.ledger import Partition


def after(limits, count, failed, most=5, share=0.5):
    return limits.after(count, failed, most_in_a_row=most, share=share)


def test_a_row_of_failures_goes_on_over_batches():
    limits = after(Limits(), 10, [7, 8, 9])
    assert limits.in_a_row == 3
    with pytest.raises(Halt) as halt:
        after(limits, 4, [0, 1, 2])
    assert halt.value.exit_code == EXIT_DEAD_LETTERS


def test_a_good_message_ends_the_row():
    limits = after(Limits(), 10, [7, 8, 9])
    assert after(limits, 4, [1, 2, 3]).in_a_row == 3
    assert after(limits, 1, []).in_a_row == 0


def test_a_row_within_a_batch_counts_even_if_good_ones_follow():
    with pytest.raises(Halt):
        after(Limits(), 100, list(range(20, 26)))


def test_too_high_a_share_halts_only_once_enough_was_seen():
    every_second = list(range(0, 100, 2))
    limits = Limits()
    for _ in range(9):
        limits = after(limits, 100, every_second, share=0.4)
    with pytest.raises(Halt, match="DEAD_LETTERS_SHARE"):
        after(limits, 100, every_second, share=0.4)


@pytest.mark.parametrize("size", [1, 3])
def test_a_share_is_noticed_in_the_smallest_batches_too(size):
    def play():
        limits = Limits(seen=1000)
        for number in range(2000):
            limits = after(limits, size, list(range(size)) if number % 10 else [], most=100, share=0.5)

    with pytest.raises(Halt, match="DEAD_LETTERS_SHARE"):
        play()


def test_a_share_below_the_limit_never_halts():
    limits = Limits()
    for _ in range(200):
        limits = after(limits, 100, list(range(0, 100, 3)), share=0.5)
    assert limits.seen == 1000


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 60))
def test_how_messages_are_batched_does_not_change_the_row(outcomes, cut):
    def halts(batches):
        limits = Limits()
        for batch in batches:
            try:
                limits = after(limits, len(batch), [place for place, bad in enumerate(batch) if bad], most=3, share=1.0)
            except Halt:
                return True
        return limits.in_a_row

    assert halts([outcomes]) == halts([outcomes[start : start + cut] for start in range(0, len(outcomes), cut)])


def test_a_letter_keeps_the_message_as_it_came():
    part = Partition(row=1, consumer="events", topic="events", topic_id="T", partition=2, epoch=1, next_offset=0)
    message = Message(
        topic="events",
        partition=2,
        offset=77,
        key=b"\x00k",
        value=b"\xff\x00{",
        headers=[("trace", b"abc"), ("odd", b"\xff\x00"), ("none", None)],
        timestamp=(1, 1_700_000_000_000),
    )
    row = dead_letters.letter(part, message, InvalidMessage("not_json", "a\0b", "bad \ud800 \0"))

    assert (row.topic_id, row.partition, row.offset) == ("T", 2, 77)
    assert (row.key, row.raw) == (b"\x00k", b"\xff\x00{")
    assert row.headers == [
        ["trace", "abc"],
        ["odd", {"base64": base64.b64encode(b"\xff\x00").decode()}],
        ["none", None],
    ]
    assert [dead_letters.header_bytes(value) for _, value in row.headers] == [b"abc", b"\xff\x00", None]
    assert "\0" not in row.field + row.detail
    row.detail.encode()


class _Unreadable(Message):
    """With a header whose name is no UTF-8: the driver cannot give such headers at all, nor make such a message."""

    def headers(self):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_a_letter_whose_headers_cannot_be_read_keeps_the_rest():
    part = Partition(row=1, consumer="events", topic="events", topic_id="T", partition=2, epoch=1, next_offset=0)
    message = _Unreadable(topic="events", partition=2, offset=77, key=b"k", value=b"{", timestamp=(1, 0))
    row = dead_letters.letter(part, message, InvalidMessage("not_json", "", "bad"))
    assert (row.key, row.raw, row.headers) == (b"k", b"{", [])
    assert row.detail == "bad (Its headers cannot be read.)"


_UNFIT = [None, b"", b"{", b'{"a": "\\u0000"}', b'{"a": "\\ud800"}', b"[" * 200_000, b"NaN", b"[" * 960 + b"]" * 960]


@pytest.mark.parametrize("raw", _UNFIT)
def test_what_could_not_be_stored_and_shown_is_not_decoded(raw):
    assert dead_letters._decoded(raw) is None
