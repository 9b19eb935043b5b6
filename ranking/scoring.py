"""The score of a candidate: pure arithmetic, so that any score can be explained and worked out again.

final      = w_freshness * freshness + w_engagement * engagement + w_affinity * affinity
freshness  = exp(-decay * age_hours)
engagement = ln(1 + (likes + 2 * comments + 3 * shares) / max(1, impressions))
affinity   = ln(1 + interactions of this viewer with this author in the last 90 days)
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from math import exp, log1p
from typing import NamedTuple, Self

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Weights:
    """What the parts weigh, the decay of freshness per hour, the version that names these numbers, and the experiment
    they belong to, if any."""

    freshness: float
    engagement: float
    affinity: float
    decay: float
    version: str
    experiment: str = ""

    @classmethod
    def configured(cls) -> Self:
        """The weights of the settings."""
        said = settings.RANKING_WEIGHTS
        return cls(
            freshness=said["freshness"],
            engagement=said["engagement"],
            affinity=said["affinity"],
            decay=settings.FRESHNESS_DECAY,
            version=settings.RANKING_VERSION,
        )

    def as_dict(self) -> dict[str, float | str]:
        return asdict(self)


class Counts(NamedTuple):
    """How often each thing happened to a post over its life."""

    impressions: int = 0
    views: int = 0
    likes: int = 0
    comments: int = 0
    shares: int = 0


class Score(NamedTuple):
    """The three parts, their weighted sum, and the age in hours they were worked out for."""

    age_hours: float
    freshness: float
    engagement: float
    affinity: float
    final: float


def age_hours(created_at: datetime, at: datetime) -> float:
    """How old a post is at a moment; below zero when a clock is ahead of ours."""
    return (at - created_at).total_seconds() / 3600


def score(weights: Weights, *, age_hours: float, counts: Counts, interactions: int) -> Score:
    """The score of a post of `age_hours` for a viewer who interacted `interactions` times with its author.

    A clock ahead of ours makes no post younger than now. A count may be below zero for a moment (an unlike overtakes
    its like): a negative numerator counts as 0.
    """
    return Score(*_parts(weights, age_hours, counts, interactions))


def final(weights: Weights, age_hours: float, counts: Counts, interactions: int) -> float:
    """`score(…).final` alone, for many candidates."""
    return _parts(weights, age_hours, counts, interactions)[-1]


def _parts(
    weights: Weights, age_hours: float, counts: Counts, interactions: int
) -> tuple[float, float, float, float, float]:
    # Compared, not max(): this is done for every candidate, and a call costs more than all the arithmetic.
    age = age_hours if age_hours > 0 else 0.0
    impressions, _, likes, comments, shares = counts
    reactions = likes + 2 * comments + 3 * shares
    freshness = exp(-weights.decay * age)
    engagement = log1p(reactions / (impressions if impressions > 1 else 1)) if reactions > 0 else 0.0
    affinity = log1p(interactions) if interactions > 0 else 0.0
    final = weights.freshness * freshness + weights.engagement * engagement + weights.affinity * affinity
    return age, freshness, engagement, affinity, final
