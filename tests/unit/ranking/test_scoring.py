"""The formula, by its worked examples and by what must hold for any numbers."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.scoring import Counts, Weights, score

WEIGHTS = Weights(freshness=0.30, engagement=0.40, affinity=0.30, decay=0.1, version="test")
COUNTS = st.builds(
    Counts,
    impressions=st.integers(0, 10**9),
    likes=st.integers(-100, 10**8),
    comments=st.integers(-100, 10**8),
    shares=st.integers(0, 10**8),
)


@pytest.mark.parametrize(
    ("age", "counts", "interactions", "parts", "final"),
    [
        (2, Counts(impressions=5000, likes=150, comments=30, shares=20), 10, (0.819, 0.0526, 2.398), 0.986),
        (0.5, Counts(impressions=50_000, likes=2000, comments=100, shares=50), 0, (0.951, 0.0459, 0), 0.304),
    ],
)
def test_the_worked_examples(age, counts, interactions, parts, final) -> None:
    found = score(WEIGHTS, age_hours=age, counts=counts, interactions=interactions)
    assert (found.freshness, found.engagement, found.affinity) == pytest.approx(parts, abs=5e-4)
    assert found.final == pytest.approx(final, abs=5e-4)


def test_engagement_weighs_comments_twice_and_shares_three_times() -> None:
    found = score(WEIGHTS, age_hours=0, counts=Counts(impressions=10, likes=1, comments=1, shares=1), interactions=0)
    assert found.engagement == pytest.approx(log(1.6))


def test_a_post_without_impressions_counts_as_shown_once() -> None:
    assert score(WEIGHTS, age_hours=0, counts=Counts(likes=1), interactions=0).engagement == pytest.approx(log(2))


def test_the_age_is_a_fraction_of_hours_and_never_negative() -> None:
    assert score(WEIGHTS, age_hours=0.25, counts=Counts(), interactions=0).freshness == pytest.approx(exp(-0.025))
    assert score(WEIGHTS, age_hours=-3, counts=Counts(), interactions=0).freshness == 1.0


def test_an_unlike_before_its_like_takes_nothing_away() -> None:
    assert score(WEIGHTS, age_hours=0, counts=Counts(likes=-1), interactions=-1).engagement == 0.0


@given(st.floats(-1e6, 1e6), COUNTS, st.integers(-10, 10**6))
def test_every_part_is_finite_and_the_sum_is_the_weighted_one(age, counts, interactions) -> None:
    found = score(WEIGHTS, age_hours=age, counts=counts, interactions=interactions)
    assert 0 <= found.freshness <= 1
    assert found.engagement >= 0
    assert found.affinity >= 0
    assert found.final == pytest.approx(0.3 * found.freshness + 0.4 * found.engagement + 0.3 * found.affinity)


@given(st.floats(0, 1000), COUNTS, st.integers(0, 10**6))
def test_older_is_never_better_and_more_is_never_worse(age, counts, interactions) -> None:
    now = score(WEIGHTS, age_hours=age, counts=counts, interactions=interactions)
    assert score(WEIGHTS, age_hours=age + 1, counts=counts, interactions=interactions).final <= now.final
    assert score(WEIGHTS, age_hours=age, counts=counts, interactions=interactions + 1).final >= now.final
