"""What a seed means: the same strikes at the same seconds, every failpoint in its turn."""

from random import Random

import pytest

from tests.chaos import failpoints
from tests.chaos.plan import CONSUMERS, ENGINES, PARTS, draw


def test_a_seed_is_a_plan() -> None:
    assert draw(Random(5), 300, 4) == draw(Random(5), 300, 4)
    assert draw(Random(5), 300, 4) != draw(Random(6), 300, 4)


@pytest.mark.parametrize("seed", range(20))
def test_strikes_lie_within_the_load_and_leave_a_struck_part_alone(seed: int) -> None:
    strikes = draw(Random(seed), 300, 4)
    assert 50 < len(strikes) < 110
    assert all(2 <= strike.at < 298 for strike in strikes)
    assert {strike.part for strike in strikes} == set(PARTS)
    assert {strike.deed for strike in strikes} == {"kill", "freeze", "arm"}
    until: dict[str, float] = {}
    for strike in strikes:
        assert strike.at > until.get(strike.part, 0)
        until[strike.part] = strike.at + strike.seconds
        assert bool(strike.ambushes) == (strike.deed == "arm")
        assert strike.deed != "arm" or strike.part in CONSUMERS
        assert strike.part not in ENGINES or strike.seconds <= 16


def test_every_failpoint_has_its_turn() -> None:
    armed = {
        (strike.part.partition("-")[0], ambush.point)
        for strike in draw(Random(1), 600, 4)
        for ambush in strike.ambushes
    }
    for kind, points in (("events", failpoints.EVENTS), ("cdc", failpoints.CDC)):
        missing = {point.name for point in points} - {point.name for of, point in armed if of == kind}
        assert missing == set()
