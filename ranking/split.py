"""Dividing viewers into parts by a hash of their id: everyone stays in their part, in every process and for good."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from django.conf import settings

CH, TIME = "ch", "time"
_ROLL_OUT, _EXPERIMENTS = "feed-ch-percent", "experiments"
# Each experiment has some of so many parts of the viewers, all of equal size.
BUCKETS = 10_000


def fraction(viewer: str, salt: str) -> float:
    """Where a viewer stands between 0 and 1, both excluded. Another salt mixes everyone anew."""
    digest = blake2b(f"{salt}:{viewer}".encode(), digest_size=6).digest()
    return (int.from_bytes(digest) + 0.5) / (1 << 48)


def algorithm_of(viewer: str) -> str:
    """ "ch" for `FEED_CH_PERCENT` of the viewers, "time" for the others. Raising it moves viewers one way only."""
    percent = settings.FEED_CH_PERCENT
    return CH if percent >= 100 or 100 * fraction(viewer, _ROLL_OUT) < percent else TIME


def bucket_of(viewer: str) -> int:
    """The bucket that a viewer is in, 0 to `BUCKETS` - 1: for all experiments the same."""
    return int(fraction(viewer, _EXPERIMENTS) * BUCKETS)


def holds(buckets: Sequence[int], bucket: int) -> bool:
    """Whether a part has a bucket. buckets: bytes, a bit for each, as `allot` gives them, or empty."""
    return bool(buckets) and bool(buckets[bucket >> 3] >> (bucket & 7) & 1)


def allot(share: float, held: Sequence[int], taken: Iterable[Sequence[int]], salt: str) -> bytes:
    """The buckets of a part that is to have `share` percent: of those it held before, then of those that nobody has.

    taken: what other parts have, who keep it. So nobody is moved from one part to another, whichever grows, shrinks or
    ends; and a part that shrinks and grows again has the same ones. salt: mixes the buckets, for each part otherwise.
    """
    theirs = list(taken)
    free = [bucket for bucket in range(BUCKETS) if not any(holds(other, bucket) for other in theirs)]
    free.sort(key=lambda bucket: (not holds(held, bucket), fraction(str(bucket), salt)))
    bits = bytearray(BUCKETS // 8)
    for bucket in free[: round(share * BUCKETS / 100)]:
        bits[bucket >> 3] |= 1 << (bucket & 7)
    return bytes(bits)
