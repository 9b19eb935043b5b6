"""Why a post stands where it stands, as numbers; the JSON is made of them only for who asks, which few do."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from django.conf import settings

from ranking.merge import Ranked
from ranking.scoring import Counts, Score


class Explanation(NamedTuple):
    """The sources that proposed the post, its score and what that was worked out from, and how many places diversity
    moved it down. In order of time nothing is scored but freshness: what is not known is None.

    The last two are the same for all posts of a snapshot: what the parts weigh, how many days of interactions count.
    """

    sources: Sequence[str]
    age_hours: float
    freshness: float
    engagement: float | None
    affinity: float | None
    final: float | None
    moved_by: int
    impressions: int | None
    likes: int
    comments: int
    shares: int | None
    interactions: int | None
    weights: Mapping[str, Any] | None
    affinity_days: int

    @classmethod
    def of_ranked(cls, item: Ranked, weights: Mapping[str, Any]) -> Self:
        """Of a post in a ranked feed."""
        _, sources, counts, interactions, score, moved_by = item
        impressions, _, likes, comments, shares = counts
        reactions = likes, comments, shares
        return cls(sources, *score, moved_by, impressions, *reactions, interactions, weights, settings.AFFINITY_DAYS)

    @classmethod
    def of_time(cls, source: str, score: Score, counts: Counts) -> Self:
        """Of a post in a feed in order of time."""
        known = score.age_hours, score.freshness, None, None, None, 0
        reactions = None, counts.likes, counts.comments, None
        return cls((source,), *known, *reactions, None, None, settings.AFFINITY_DAYS)

    def as_dict(self) -> dict[str, Any]:
        """As a reader gets it."""
        return {
            "sources": self.sources,
            "freshness": self.freshness,
            "engagement": self.engagement,
            "affinity": self.affinity,
            "final": self.final,
            "moved_by_diversity": self.moved_by,
            "inputs": {
                "age_hours": self.age_hours,
                "likes": self.likes,
                "comments": self.comments,
                "shares": self.shares,
                "impressions": self.impressions,
                "interactions": self.interactions,
                "affinity_days": self.affinity_days,
            },
            "weights": self.weights,
        }
