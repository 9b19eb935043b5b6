"""Dividing viewers into parts by a hash of their id: everyone stays in their part, in every process and for good."""

from collections.abc import Mapping
from hashlib import blake2b

from django.conf import settings

CH, TIME = "ch", "time"
_ROLL_OUT = "feed-ch-percent"


def fraction(viewer: str, salt: str) -> float:
    """Where a viewer stands between 0 and 1, both excluded. Another salt mixes everyone anew."""
    digest = blake2b(f"{salt}:{viewer}".encode(), digest_size=6).digest()
    return (int.from_bytes(digest) + 0.5) / (1 << 48)


def algorithm_of(viewer: str) -> str:
    """ "ch" for `FEED_CH_PERCENT` of the viewers, "time" for the others. Raising it moves viewers one way only."""
    percent = settings.FEED_CH_PERCENT
    return CH if percent >= 100 or 100 * fraction(viewer, _ROLL_OUT) < percent else TIME


def choose(viewer: str, shares: Mapping[str, float]) -> str | None:
    """The part a viewer is in. shares: salt → percent, at most 100 in all; None: in the rest.

    Each part takes its share out of those that the parts before it left, by a hash of its own. So the last part may be
    added, grow or shrink without moving anybody between the others.
    """
    left = 100.0
    for salt, share in shares.items():
        if fraction(viewer, salt) * left < share:
            return salt
        left -= share
    return None
