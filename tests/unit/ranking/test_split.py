"""Parts of the viewers: as large as asked, and the same ones each time."""

from collections import Counter
from itertools import pairwise
from uuid import UUID

import pytest

from ranking import split

VIEWERS = [str(UUID(int=number)) for number in range(20_000)]


def ranked(percent: float, settings) -> set[str]:
    settings.FEED_CH_PERCENT = percent
    return {viewer for viewer in VIEWERS if split.algorithm_of(viewer) == split.CH}


def test_who_is_ranked_stays_so_while_the_share_grows(settings) -> None:
    parts = [ranked(percent, settings) for percent in (0, 0.5, 20, 60, 100)]
    assert [len(part) / len(VIEWERS) for part in parts] == pytest.approx([0, 0.005, 0.2, 0.6, 1], abs=0.012)
    assert parts[0] == set()
    assert parts[-1] == set(VIEWERS)
    assert all(small <= large for small, large in pairwise(parts))


def test_each_part_has_its_share() -> None:
    shares = {"a": 10.0, "b": 25.0, "c": 0.0}
    found = Counter(split.choose(viewer, shares) for viewer in VIEWERS)
    assert found["c"] == 0
    assert [found[part] / len(VIEWERS) for part in ("a", "b", None)] == pytest.approx([0.1, 0.25, 0.65], abs=0.012)


def test_all_in_parts_leaves_nobody_over() -> None:
    assert {split.choose(viewer, {"a": 50, "b": 50}) for viewer in VIEWERS} == {"a", "b"}
    assert {split.choose(viewer, {}) for viewer in VIEWERS} == {None}


def test_the_last_part_takes_from_the_rest_alone() -> None:
    def parts(shares: dict[str, float]) -> list[str | None]:
        return [split.choose(viewer, shares) for viewer in VIEWERS]

    for before, after in pairwise(({"a": 10}, {"a": 10, "b": 5}, {"a": 10, "b": 50})):
        moves = {pair for pair in zip(parts(before), parts(after), strict=True) if len(set(pair)) == 2}
        assert moves == {(None, "b")}
