"""Batches close by count, size or age, drop repeats, and repeat a pending batch exactly."""

from hypothesis import given
from hypothesis import strategies as st

from ingestion.batcher import Batcher, Bounds


def batcher(*, messages=3, seconds=1.0, size=1000, next_offset=0, redo=None):
    return Batcher(Bounds(messages, seconds, size), next_offset=next_offset, redo=redo)


def test_closes_when_it_has_enough_messages():
    held = batcher(messages=2)
    held.add("a", 0, 1, now=0.0)
    assert not held.due(0.0)
    held.add("b", 1, 1, now=0.0)
    assert held.due(0.0)
    assert held.take(0.0) == ["a", "b"]
    assert not held.due(100.0)


def test_closes_when_its_first_message_has_waited_long_enough():
    held = batcher(seconds=0.5)
    held.add("a", 0, 1, now=5.0)
    held.add("b", 1, 1, now=5.2)
    assert not held.due(5.25)
    assert held.due(5.5)


def test_closes_when_it_is_large_and_never_takes_more_than_fits():
    held = batcher(messages=10, size=100)
    for offset in range(4):
        held.add(offset, offset, 40, now=0.0)
    assert held.due(0.0)
    assert held.take(0.0) == [0, 1]
    assert held.take(0.0) == [2, 3]


def test_a_message_larger_than_a_batch_goes_alone():
    held = batcher(size=100)
    held.add("huge", 0, 5000, now=0.0)
    held.add("small", 1, 5, now=0.0)
    assert held.take(0.0) == ["huge"]


def test_an_offset_that_comes_twice_is_taken_once():
    held = batcher(messages=10, next_offset=5)
    for offset in (3, 5, 6, 5, 6, 7):
        held.add(offset, offset, 1, now=0.0)
    assert held.take(0.0) == [5, 6, 7]


def test_a_pending_batch_comes_out_exactly_whatever_the_bounds():
    held = batcher(messages=2, seconds=0.0, next_offset=10, redo=14)
    for offset in (10, 11, 13):
        held.add(offset, offset, 1, now=0.0)
    assert not held.due(1000.0)
    for offset in (14, 15):
        held.add(offset, offset, 1, now=0.0)
    assert held.due(0.0)
    assert held.take(0.0) == [10, 11, 13, 14]
    assert held.take(0.0) == [15]


def test_a_pending_batch_ends_even_if_its_last_offset_is_a_gap():
    held = batcher(next_offset=10, redo=14)
    for offset in (10, 16):
        held.add(offset, offset, 1, now=0.0)
    assert held.due(0.0)
    assert held.take(0.0) == [10]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 50)), max_size=80),
    st.integers(1, 7),
    st.integers(1, 200),
)
def test_batches_hold_each_new_offset_once_and_in_order(arrivals, messages, size):
    held = batcher(messages=messages, size=size, seconds=0.0)
    taken, expected = [], []
    for offset, weight in arrivals:
        if not expected or offset > expected[-1]:
            expected.append(offset)
        held.add(offset, offset, weight, now=0.0)
        if held.full:
            taken += held.take(0.0)
    while held.due(1.0):
        batch = held.take(1.0)
        assert 0 < len(batch) <= messages
        taken += batch
    assert taken == expected
    assert held.size == 0


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), max_size=12), st.integers(1, 7))
def test_several_at_once_are_as_one_after_the_other(runs, messages):
    together, singly = batcher(messages=messages, size=90), batcher(messages=messages, size=90)
    for now, run in enumerate(runs):
        together.extend(run, run, run, float(now))
        for offset in run:
            singly.add(offset, offset, offset, float(now))
        states = [(len(held), held.size, held.since, held.next_offset, held.full) for held in (together, singly)]
        assert states[0] == states[1]
        assert together.take(1.0) == singly.take(1.0)


def sums(messages: list) -> tuple[object, int]:
    return ("several", tuple(messages)), len(messages)


def test_messages_are_condensed_once_there_are_enough() -> None:
    batcher: Batcher = Batcher(Bounds(10, 0.3), next_offset=0)
    for offset in range(3):
        batcher.add(offset, offset, 100, 0.0)
    batcher.condense(sums, 4)
    assert (len(batcher), batcher.size) == (3, 300)
    batcher.add(3, 3, 100, 0.0)
    batcher.condense(sums, 4)
    assert (len(batcher), batcher.size) == (4, 4)
    for offset in range(4, 6):
        batcher.add(offset, offset, 100, 0.0)
    batcher.condense(sums, 4)
    assert (len(batcher), batcher.size) == (6, 204)
    assert batcher.take(1.0) == [("several", (0, 1, 2, 3)), 4, 5]
    assert (len(batcher), batcher.size) == (0, 0)


def test_a_batch_is_cut_between_what_was_condensed() -> None:
    batcher: Batcher = Batcher(Bounds(10, 0.3), next_offset=0)
    for offset in range(14):
        batcher.add(offset, offset, 1, 0.0)
        batcher.condense(sums, 4)
    assert batcher.full
    assert [len(item[1]) for item in batcher.take(1.0)] == [4, 4]
    assert len(batcher) == 6
    batcher.condense(sums, 2)
    assert [len(item[1]) for item in batcher.take(1.0)] == [4, 2]


def test_what_is_larger_than_a_batch_goes_alone() -> None:
    batcher: Batcher = Batcher(Bounds(3, 0.3), next_offset=0)
    for offset in range(5):
        batcher.add(offset, offset, 1, 0.0)
    batcher.condense(sums, 4)
    assert batcher.take(1.0) == [("several", (0, 1, 2, 3, 4))]


def test_nothing_is_condensed_across_the_end_of_a_redo() -> None:
    batcher: Batcher = Batcher(Bounds(10, 0.3), next_offset=0, redo=4)
    for offset in range(8):
        batcher.add(offset, offset, 1, 0.0)
        batcher.condense(sums, 2)
    assert batcher.take(1.0) == [0, 1, 2, 3, 4]
    batcher.condense(sums, 2)
    assert batcher.take(1.0) == [("several", (5, 6, 7))]
