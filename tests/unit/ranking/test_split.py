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


def of(buckets: bytes) -> set[int]:
    return {bucket for bucket in range(split.BUCKETS) if split.holds(buckets, bucket)}


def test_each_part_has_its_share_of_the_viewers() -> None:
    first = split.allot(10, b"", [], "a")
    parts = [first, split.allot(25, b"", [first], "b"), split.allot(0, b"", [first], "c")]
    found = [sum(split.holds(part, split.bucket_of(viewer)) for viewer in VIEWERS) for part in parts]
    assert [len(of(part)) for part in parts] == [1000, 2500, 0]
    assert [count / len(VIEWERS) for count in found] == pytest.approx([0.1, 0.25, 0], abs=0.012)
    assert not of(parts[0]) & of(parts[1])
    assert of(b"") == set()


def test_all_in_parts_leaves_nobody_over() -> None:
    first = split.allot(33.33, b"", [], "a")
    assert of(first) | of(split.allot(66.67, b"", [first], "b")) == set(range(split.BUCKETS))


def test_a_part_grows_from_what_nobody_has_and_shrinks_from_its_own() -> None:
    sizes, held, other = (5, 20, 60, 20, 5), b"", split.allot(40, b"", [], "other")
    grown = [held := split.allot(share, held, [other], "mine") for share in sizes]
    assert [len(of(part)) for part in grown] == [500, 2000, 6000, 2000, 500]
    assert all(min(of(a), of(b), key=len) <= max(of(a), of(b), key=len) for a, b in pairwise(grown))
    assert not any(of(part) & of(other) for part in grown)
    assert grown[-2:] == [grown[1], grown[0]]


def test_what_was_taken_meanwhile_is_made_up_for() -> None:
    mine = split.allot(50, b"", [], "mine")
    other = split.allot(50, b"", [], "other")
    again = split.allot(50, mine, [other], "mine")
    assert of(again) == set(range(split.BUCKETS)) - of(other)
    # Mixed: two parts that are made alone have half in common, as chance has it.
    assert len(of(mine) & of(other)) / 5000 == pytest.approx(0.5, abs=0.05)


def test_viewers_are_spread_evenly() -> None:
    counts = Counter(split.bucket_of(viewer) for viewer in VIEWERS)
    assert max(counts) < split.BUCKETS
    assert max(counts.values()) < 15
