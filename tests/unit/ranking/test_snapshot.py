"""A snapshot as it is made: when it is no longer fresh."""

from datetime import UTC, datetime

import pytest

from ranking.scoring import Weights
from ranking.snapshot import Snapshot, made_at

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("algorithm", "seconds"), [("ch", 60), ("time", 10)])
def test_feeds_made_together_do_not_expire_together(algorithm: str, seconds: int) -> None:
    weights = Weights.configured()
    made = [Snapshot.made([], algorithm=algorithm, generation=0, weights=weights, now=NOON) for _ in range(500)]
    ages = sorted(one.about.fresh_until - NOON.timestamp() for one in made)
    assert 0.9 * seconds <= ages[0] < 0.92 * seconds
    assert 1.08 * seconds < ages[-1] <= 1.1 * seconds
    # Spread over the whole span: no tenth of it holds far more than its share.
    tenths = [sum(0.9 + 0.02 * at <= age / seconds < 0.92 + 0.02 * at for age in ages) for at in range(10)]
    assert max(tenths) < 3 * len(ages) / 10


def test_a_snapshot_id_tells_when_it_was_made() -> None:
    at = datetime(2026, 5, 4, 3, 2, 1, 987_000, tzinfo=UTC)
    made = Snapshot.made([], algorithm="ch", generation=1, weights=Weights.configured(), now=at)
    assert made_at(made.about.snapshot) == at.timestamp()


@pytest.mark.parametrize(
    "text",
    ["", "last", "+19a2b3c4d5e6f708192", "19a2b3c4d5e6f708192\n", "19a2b3c4d5e6_7081921"],
)
def test_what_merely_reads_as_a_number_is_no_snapshot_id(text: str) -> None:
    """It would stand in the ids of a stream's events, where a line end ends the id."""
    assert made_at(text) is None
