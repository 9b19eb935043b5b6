"""The judge of ingestion: was anything lost, doubled or miscounted?

Every comparison is made by ClickHouse itself, between what views have summed up and what `events` says now, for the
posts of one test, so that tests beside it do not disturb it.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from nova import clickhouse

_COUNTS = """
    countIf(action = 'impression') AS impressions,
    countIf(action = 'view') AS views,
    countIf(action = 'click') AS clicks,
    sumIf(multiIf(action = 'like', 1, action = 'unlike', -1, 0), source IN ('table', 'service')) AS likes,
    sumIf(multiIf(action = 'comment', 1, action = 'uncomment', -1, 0), source IN ('table', 'service')) AS comments,
    countIf(action = 'share') AS shares
"""
_SUMS = "sum(impressions), sum(views), sum(clicks), sum(likes), sum(comments), sum(shares)"
_NOBODY = "toUUID('00000000-0000-0000-0000-000000000000')"
# Sums that are all 0 need no row: ClickHouse drops it.
_ZEROS = "(0, 0, 0, 0, 0, 0)"
# For each aggregate: what it says, and what it should say by `events`.
_VIEWS = {
    "post_counters": (
        f"SELECT post_id, {_SUMS} FROM post_counters WHERE post_id IN posts GROUP BY post_id"
        f" HAVING ({_SUMS}) != {_ZEROS}",
        f"SELECT post_id, {_COUNTS} FROM events WHERE post_id IN posts GROUP BY post_id"
        f" HAVING (impressions, views, clicks, likes, comments, shares) != {_ZEROS}",
    ),
    "post_metrics_1h": (
        f"SELECT hour, post_id, {_SUMS}, sum(dwell_ms), uniqMerge(reactors) FROM post_metrics_1h"
        " WHERE post_id IN posts GROUP BY hour, post_id",
        f"SELECT toStartOfHour(toDateTime(event_time, 'UTC')) AS hour, post_id, {_COUNTS},"
        " sum(toInt64(events.dwell_ms)), uniqIf(user_id, user_id != events.author_id AND (action = 'share' OR"
        " (action IN ('like', 'comment') AND source IN ('table', 'service')))) FROM events"
        " WHERE post_id IN posts GROUP BY hour, post_id",
    ),
    "user_author_90d": (
        "SELECT user_id, author_id, day, sum(interactions) FROM user_author_90d"
        " WHERE author_id IN (SELECT author_id FROM events WHERE post_id IN posts) GROUP BY user_id, author_id, day"
        " HAVING sum(interactions) != 0",
        "SELECT user_id, author_id, toDate(event_time) AS day, sum(multiIf(action = 'share', 1,"
        " source NOT IN ('table', 'service'), 0, action IN ('like', 'comment'), 1,"
        " action IN ('unlike', 'uncomment'), -1, 0)) AS n FROM events"
        f" WHERE post_id IN posts AND author_id != {_NOBODY} GROUP BY user_id, author_id, day HAVING n != 0",
    ),
    "seen_posts": (
        "SELECT user_id, post_id, max(seen_at) FROM seen_posts WHERE post_id IN posts GROUP BY user_id, post_id",
        "SELECT user_id, post_id, max(toDateTime(event_time, 'UTC')) FROM events WHERE post_id IN posts AND"
        " (action IN ('view', 'click') OR (action = 'impression' AND dwell_ms >= 1000)) GROUP BY user_id, post_id",
    ),
    "event_ids": (
        "SELECT event_id, count() FROM event_ids WHERE event_id IN"
        " (SELECT event_id FROM events WHERE post_id IN posts) GROUP BY event_id",
        "SELECT event_id, count() FROM events WHERE post_id IN posts GROUP BY event_id",
    ),
}


def _table(name: str, values: Iterable[UUID]) -> dict[str, Any]:
    return {name: ([("id", "UUID")], [(value,) for value in values])}


def stored(ids: Collection[UUID]) -> Counter[UUID]:
    """How many rows `events` holds of each of these ids."""
    rows = clickhouse.query(
        "SELECT event_id, count() FROM events WHERE event_id IN asked GROUP BY event_id", tables=_table("asked", ids)
    )
    return Counter({UUID(str(identifier)): count for identifier, count in rows})


def lost(ids: Collection[UUID]) -> set[UUID]:
    """Acknowledged ids without a row."""
    found = stored(ids)
    return {identifier for identifier in ids if not found[identifier]}


def doubled(ids: Collection[UUID]) -> set[UUID]:
    """Ids with more than one row."""
    return {identifier for identifier, count in stored(ids).items() if count > 1}


def miscounted(posts: Collection[UUID]) -> dict[str, int]:
    """For each aggregate that is not what `events` says of these posts: how many of its rows differ."""
    wrong = {}
    for view, (says, should) in _VIEWS.items():
        differing = 0
        for one, other in ((says, should), (should, says)):
            # The number types of sums and counts differ; their texts do not.
            texts = [f"SELECT toString(tuple(*)) FROM ({query})" for query in (one, other)]
            ((count,),) = clickhouse.query(
                f"SELECT count() FROM ({texts[0]} EXCEPT {texts[1]})", tables=_table("posts", posts)
            )
            differing += count
        if differing:
            wrong[view] = differing
    return wrong


def assert_exact(ids: Collection[UUID], posts: Collection[UUID]) -> None:
    """Every acknowledged id stands in ClickHouse once, and every aggregate says what the events say."""
    found = {"lost": lost(ids), "doubled": doubled(ids), "miscounted": miscounted(posts)}
    assert not any(found.values()), found
