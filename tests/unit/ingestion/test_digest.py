"""Decoding while a batch collects gives what decoding it at once would have given."""

import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from confluent_kafka import Message

from ingestion.contract import Event
from ingestion.digest import digest, last_offset

NOW = time.time()


def line() -> bytes:
    moment = datetime.fromtimestamp(NOW, UTC)
    ids = {name: uuid4() for name in ("event_id", "user_id", "post_id", "author_id")}
    return Event(**ids, event_time=moment, action="view").line()


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Twenty, offsets with gaps; those at the places 3, 4 and 12 are broken."""
    values = [b"broken" if place in (3, 4, 12) else line() for place in range(20)]
    return [
        Message(topic="events", partition=0, offset=100 + 2 * place, key=b"k", value=value,
                timestamp=(1, int(NOW * 1000) + place), headers=[])
        for place, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize("cuts", [(0, 20), (5, 9), (4, 4), (0, 13), (7, 20)])
def test_parts_make_the_same_whole(messages, cuts) -> None:
    first, second = cuts
    parts = digest([digest(messages[:first]), *messages[first:second], digest(messages[second:])])
    whole = digest(messages)
    assert parts.offsets.tolist() == whole.offsets.tolist()
    assert parts.events.table.equals(whole.events.table)
    assert parts.failed_at == whole.failed_at == [3, 4, 12]
    assert parts.stamp == whole.stamp == int(NOW * 1000)


@pytest.mark.parametrize(("lo", "hi"), [(0, 999), (100, 138), (105, 130), (106, 108), (101, 101), (139, 200)])
def test_within(messages, lo: int, hi: int) -> None:
    inside = [message for message in messages if lo <= message.offset() <= hi]
    found = digest(messages).within(lo, hi)
    assert found.offsets.tolist() == [message.offset() for message in inside]
    assert found.events.table.equals(digest(inside).events.table)
    assert found.failed_at == digest(inside).failed_at


def test_the_last_offset_and_nothing_at_all(messages) -> None:
    assert last_offset([]) == -1
    assert last_offset(messages) == last_offset([digest(messages)]) == 138
    assert len(digest([])) == 0
