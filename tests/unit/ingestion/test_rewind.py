"""What moving a partition by hand skips and repeats."""

import pytest

from ingestion.models import Offset
from ingestion.rewind import Move, _move
from nova.errors import Permanent


@pytest.mark.parametrize(
    ("at", "to", "skipped", "repeated"),
    [
        (50, 50, 0, 0),
        (50, 20, 0, 30),
        (50, 90, 40, 0),
        # Offsets that Kafka deleted are never stored either.
        (5, 10, 5, 0),
        (None, 10, 0, 0),
        (None, 30, 20, 0),
    ],
)
def test_what_is_skipped_and_repeated(at: int | None, to: int, skipped: int, repeated: int) -> None:
    move = Move("events", "id", 0, at, to, low=10, end=100)
    assert (move.skipped, move.repeated) == (skipped, repeated)


@pytest.mark.parametrize(("where", "to"), [("earliest", 10), ("latest", 100), ("10", 10), ("100", 100), ("42", 42)])
def test_words_and_numbers(where: str, to: int) -> None:
    assert _move("id", "events", 0, where, 10, 100, None).to == to


@pytest.mark.parametrize("where", ["9", "101"])
def test_kafka_must_hold_it(where: str) -> None:
    with pytest.raises(Permanent, match="10 to 100"):
        _move("id", "events", 0, where, 10, 100, None)


@pytest.mark.parametrize(
    ("lo", "hi", "token", "refused"),
    [
        (10, 99, "t", True),
        (50, 60, "t", True),
        (9, 60, "t", False),
        (50, 100, "t", False),
        # Kafka had lost its end once: what is there now is something else.
        (50, 60, "", False),
    ],
)
def test_a_batch_that_can_be_finished_is_not_given_up(lo: int, hi: int, token: str, refused: bool) -> None:
    row = Offset(next_offset=lo, pending_lo=lo, pending_hi=hi, pending_token=token, epoch=3)
    if refused:
        with pytest.raises(Permanent, match="finishes that batch first"):
            _move("id", "events", 0, "latest", 10, 100, row)
    else:
        move = _move("id", "events", 0, "latest", 10, 100, row)
        assert (move.pending, move.epoch) == ((lo, hi), 3)
