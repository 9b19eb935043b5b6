"""Whose turn it is: with whole batches waiting in many partitions, two are read at a time, and each gets its turn."""

from ingestion import turns
from ingestion.batcher import Batcher, Bounds
from ingestion.flushing import Held
from ingestion.ledger import Partition, Pending

MOST = 10


def held(number: int, *, end: int, waiting: int = 0, since: float = 0.0, pending: Pending | None = None) -> Held:
    """A partition of which Kafka holds the offsets up to `end`, and `waiting` of them wait here."""
    batcher = Batcher(Bounds(MOST, 0.3), next_offset=0)
    for offset in range(waiting):
        batcher.add(object(), offset, 1, since)
    batcher.since = since
    part = Partition(1, "c", "events", "id", number, 1, 0, high_watermark=end)
    return Held(part, batcher, pending)


def resting(*partitions: Held, now: float = 100.0) -> set[int]:
    return {one.part.partition for one in turns.resting(partitions, now)}


def test_partitions_with_little_to_read_never_rest() -> None:
    assert resting(*(held(number, end=MOST // 2 - 1) for number in range(12))) == set()


def test_what_is_here_to_its_end_takes_no_turn() -> None:
    complete = [held(number, end=8, waiting=8) for number in range(2)]
    assert resting(*complete, held(7, end=1000), held(8, end=1000)) == set()


def test_a_batch_fills_while_kafka_is_known_to_hold_more() -> None:
    assert turns.filling(held(0, end=MOST // 2, waiting=1))
    assert not turns.filling(held(0, end=MOST // 2 - 1, waiting=1)), "too little to wait for"
    assert not turns.filling(held(0, end=8, waiting=8)), "all of it is here"
    assert not turns.filling(held(0, end=1000, waiting=MOST)), "full"


def test_two_deep_ones_are_read_at_a_time_beside_all_shallow_ones() -> None:
    deep = [held(number, end=1000, since=number) for number in range(5)]
    assert resting(*deep, held(7, end=3)) == {2, 3, 4}


def test_the_fullest_goes_on_until_it_is_full_then_the_longest_untouched() -> None:
    begun = held(0, end=1000, waiting=4, since=99.0)
    full = held(1, end=1000, waiting=MOST, since=1.0)
    first, second = held(2, end=1000, since=5.0), held(3, end=1000, since=4.0)
    assert resting(begun, full, first, second) == {1, 2}


def test_each_gets_its_turn() -> None:
    partitions = [held(number, end=10_000) for number in range(6)]
    taken: list[int] = []
    for now in range(1, 13):
        rest = turns.resting(partitions, now)
        for reading in [one for one in partitions if one not in rest]:
            while not reading.batcher.full:
                reading.batcher.add(object(), reading.batcher.next_offset, 1, now)
            reading.batcher.take(now)
            taken.append(reading.part.partition)
    assert taken == [0, 1, 2, 3, 4, 5] * 4


def test_a_batch_that_is_redone_is_read_whatever_waits_elsewhere() -> None:
    deep = [held(number, end=1000, waiting=5) for number in range(3)]
    redone = held(9, end=1000, pending=Pending(0, 50, None, "token", None))  # type: ignore[arg-type]
    assert 9 not in resting(*deep, redone)


def test_a_stuck_one_rests_once_its_next_batch_is_full() -> None:
    stuck = held(0, end=MOST, waiting=MOST)
    stuck.flying, stuck.flying_since = 5, 98.0
    assert resting(stuck) == {0}
    assert resting(stuck, now=98.5) == set()


class Client:
    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []

    def pause(self, places: list) -> None:
        self.calls.append(("pause", [place.partition for place in places]))

    def resume(self, places: list) -> None:
        self.calls.append(("resume", [place.partition for place in places]))


def test_the_client_is_told_of_changes_only() -> None:
    client, partitions = Client(), [held(number, end=1000) for number in range(3)]
    for rest in (partitions[1:], partitions[1:], partitions[:1], []):
        turns.give(client, partitions, rest)
    assert client.calls == [("pause", [1, 2]), ("pause", [0]), ("resume", [1, 2]), ("resume", [0])]
