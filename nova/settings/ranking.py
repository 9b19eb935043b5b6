"""The numbers of the ranking. Changing a weight changes `RANKING_VERSION`, so that a score stays explainable."""

import hashlib

from nova.settings import env

RANKING_WEIGHTS = {
    "freshness": env.number("WEIGHT_FRESHNESS", 0.30, low=0, high=1),
    "engagement": env.number("WEIGHT_ENGAGEMENT", 0.40, low=0, high=1),
    "affinity": env.number("WEIGHT_AFFINITY", 0.30, low=0, high=1),
}
if abs(sum(RANKING_WEIGHTS.values()) - 1) > 1e-6:
    env.problem("WEIGHT_FRESHNESS, WEIGHT_ENGAGEMENT, WEIGHT_AFFINITY", "do not add up to 1. Set them so that they do")
FRESHNESS_DECAY = env.number("FRESHNESS_DECAY", 0.1, low=0.0001, high=10)
RANKING_VERSION = hashlib.sha256(repr((sorted(RANKING_WEIGHTS.items()), FRESHNESS_DECAY)).encode()).hexdigest()[:8]

# The share of viewers, always the same ones, whose feed is ranked; the others get theirs in order of time.
FEED_CH_PERCENT = env.number("FEED_CH_PERCENT", 100, low=0, high=100)

FOLLOWEE_HOURS = env.whole("FOLLOWEE_HOURS", 72, low=1, high=2160)
AFFINITY_DAYS = env.whole("AFFINITY_DAYS", 90, low=1, high=90)
AFFINITY_AUTHORS = env.whole("AFFINITY_AUTHORS", 50, low=1, high=1000)
AFFINITY_POST_HOURS = env.whole("AFFINITY_POST_HOURS", 168, low=1, high=2160)
# As long as ClickHouse and the intake remember them.
SEEN_DAYS = env.whole("SEEN_DAYS", 7, low=1, high=7)
CANDIDATES_PER_SOURCE = env.whole("CANDIDATES_PER_SOURCE", 500, low=10, high=10_000)
SNAPSHOT_POSTS = env.whole("SNAPSHOT_POSTS", 500, low=10, high=5000)
SNAPSHOT_SOFT_SECONDS = env.whole("SNAPSHOT_SOFT_SECONDS", 60, low=1, high=86_400)
SNAPSHOT_HARD_SECONDS = env.whole("SNAPSHOT_HARD_SECONDS", 900, low=2, high=604_800)
if SNAPSHOT_SOFT_SECONDS >= SNAPSHOT_HARD_SECONDS:
    env.problem(
        "SNAPSHOT_SOFT_SECONDS",
        f"{SNAPSHOT_SOFT_SECONDS} is not below SNAPSHOT_HARD_SECONDS ({SNAPSHOT_HARD_SECONDS}): a feed would be gone "
        "before a new one is made. Set it to less, or the other to more",
    )
# A reader's snapshots, of those that they had a page of the ones used last; each takes about a third of a megabyte of
# the cache.
SNAPSHOTS_KEPT = env.whole("SNAPSHOTS_KEPT", 4, low=2, high=1000)
LAST_GOOD_SECONDS = env.whole("LAST_GOOD_SECONDS", 86_400, low=60, high=2_592_000)
# Followers of an author that are told of a post; of all authors in one batch of changes four times as many.
FANOUT_BOUND = env.whole("FANOUT_BOUND", 5000, low=0, high=10_000_000)
TRENDING_FLOOR_USERS = env.whole("TRENDING_FLOOR_USERS", 3, low=1, high=100_000)

# Suggested members: kept for each viewer; friends of a viewer that count; whom one friend leads to, at most; authors
# that stand for a member's interests.
SUGGESTIONS = env.whole("SUGGESTIONS", 30, low=1, high=100)
SUGGESTION_FRIENDS = env.whole("SUGGESTION_FRIENDS", 100, low=1, high=1000)
SUGGESTION_FANOUT = env.whole("SUGGESTION_FANOUT", 200, low=1, high=5000)
SUGGESTION_INTERESTS = env.whole("SUGGESTION_INTERESTS", 20, low=1, high=200)
# Threads of ClickHouse that one run may use, 0 for as many as it has cores. The feeds need some too.
SUGGESTION_THREADS = env.whole("SUGGESTION_THREADS", 0, low=0, high=256)

# The cache warmer: members kept warm, the hours by which the most active are chosen, and how long a pass watches them.
WARM_MEMBERS = env.whole("WARM_MEMBERS", 1000, low=0, high=1_000_000)
WARM_HOURS = env.whole("WARM_HOURS", 6, low=1, high=720)
WARM_SECONDS = env.whole("WARM_SECONDS", 50, low=1, high=50)

BREAKER_FAILURES = env.whole("BREAKER_FAILURES", 5, low=1, high=1000)
BREAKER_WINDOW_SECONDS = env.whole("BREAKER_WINDOW_SECONDS", 10, low=1, high=3600)
BREAKER_OPEN_SECONDS = env.whole("BREAKER_OPEN_SECONDS", 10, low=1, high=3600)
