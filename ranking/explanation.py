"""Why a post stands where it stands: what its score was worked out from. Score and JSON are made only for who asks,
which few do: the same input gives the same score."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.conf import settings

from ranking.merge import Ranked
from ranking.scoring import Counts, Weights, age_hours, score


class Basis(NamedTuple):
    """What the explanations of a snapshot have in common. at: the moment it was ranked for; affinity_days: how many
    days of interactions count; is_scored: not in order of time."""

    at: datetime
    weights: Weights
    affinity_days: int
    is_scored: bool

    @classmethod
    def of(cls, at: datetime, weights: Weights, *, is_scored: bool = True) -> Self:
        return cls(at, weights, settings.AFFINITY_DAYS, is_scored)


class Explanation(NamedTuple):
    """The sources that proposed the post, how many places diversity moved it down, and what its score was worked out
    from."""

    sources: Sequence[str]
    moved_by: int
    interactions: int
    counts: Counts
    created_at: datetime
    basis: Basis

    @classmethod
    def of_ranked(cls, item: Ranked, basis: Basis) -> Self:
        """Of a post in a ranked feed."""
        return cls(item.sources, item.moved_by, item.interactions, item.counts, item.post.created_at, basis)

    def as_dict(self) -> dict[str, Any]:
        """As a reader gets it. In order of time nothing is scored but freshness, and neither impressions, shares nor
        interactions are known: None."""
        at, weights, affinity_days, is_scored = self.basis
        age = age_hours(self.created_at, at)
        known = score(weights, age_hours=age, counts=self.counts, interactions=self.interactions)

        def if_scored(value: Any) -> Any:
            return value if is_scored else None

        return {
            "sources": self.sources,
            "freshness": known.freshness,
            "engagement": if_scored(known.engagement),
            "affinity": if_scored(known.affinity),
            "final": if_scored(known.final),
            "moved_by_diversity": self.moved_by,
            "inputs": {
                "age_hours": known.age_hours,
                "likes": self.counts.likes,
                "comments": self.counts.comments,
                "shares": if_scored(self.counts.shares),
                "impressions": if_scored(self.counts.impressions),
                "interactions": if_scored(self.interactions),
                "affinity_days": affinity_days,
            },
            "weights": if_scored(weights.as_dict()),
        }
