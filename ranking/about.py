"""What is known of a kept feed beside its posts: made by what, when, and until when it is good."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a snapshot. Times in Unix seconds, but generated_at. shown: how many posts the reader had of
    earlier snapshots before the first of this one; their ids precede its own."""

    snapshot: str
    algorithm: str
    generation: int
    generated_at: str
    started: float
    fresh_until: float
    version: str
    shown: int = 0
    experiment: str = ""

    def is_current(self, generation: int, version: str) -> bool:
        """Made since the viewer's feed was last invalidated, with the weights of now."""
        return self.generation == generation and self.version == version

    def is_fresh(self, now: datetime) -> bool:
        return now.timestamp() < self.fresh_until
