"""What a stream says, and what the ids of its events remember."""

from hypothesis import given
from hypothesis import strategies as st

from feed.stream import protocol
from feed.stream.protocol import Told

A, B, C = "0" * 19 + "a", "0" * 19 + "b", "0" * 19 + "c"
snapshots = st.integers(0, 16**20 - 1).map(lambda number: f"{number:020x}")
counts = st.integers(0, 5000)


def test_nothing_is_told_when_nothing_changed() -> None:
    assert protocol.news(Told(A, B, 2), B, 2) == []


def test_a_new_snapshot_comes_before_its_new_posts() -> None:
    replaced, new = protocol.news(Told.holding(A), B, 3)
    assert (replaced.name, replaced.data, replaced.told) == ("snapshot_replaced", {"snapshot": B}, Told(A, B, 0))
    assert (new.name, new.data, new.told) == ("new_posts", {"count": 3}, Told(A, B, 3))


def test_a_feed_that_is_only_ranked_anew_has_no_new_posts() -> None:
    assert [event.name for event in protocol.news(Told(A, B, 1), C, 1)] == ["snapshot_replaced"]


def test_posts_that_are_gone_are_taken_back() -> None:
    assert [event.data for event in protocol.news(Told(A, B, 1), B, 0)] == [{"count": 0}]


def test_an_event_as_it_is_sent() -> None:
    (event,) = protocol.news(Told(A, B, 0), B, 1)
    assert event.encode() == b'event: new_posts\nid: %b.%b.1\ndata: {"count":1}\n\n' % (A.encode(), B.encode())


@given(since=snapshots, known=snapshots, count=counts, present=snapshots, newer=counts)
def test_whoever_lost_the_connection_is_told_the_rest_and_no_more(
    since: str, known: str, count: int, present: str, newer: int
) -> None:
    told = Told(since, known, count)
    assert Told.of_id(told.id) == told
    events = protocol.news(told, present, newer)
    for got in range(len(events) + 1):
        back = Told.of_id(events[got - 1].told.id) if got else told
        assert back is not None
        assert protocol.news(back, present, newer) == events[got:]


@given(st.text())
def test_an_id_of_somebody_else_is_none(text: str) -> None:
    assert Told.of_id(text) is None
