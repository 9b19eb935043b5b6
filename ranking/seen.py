"""What a viewer has seen lately, as the intake notes it in Redis: for the fallback, which has no ClickHouse to ask."""

from datetime import datetime, timedelta

from django.conf import settings

from ranking import cache


def key(viewer: str) -> str:
    """The Redis key of a viewer's sorted set: member the post's id as text, score the Unix seconds of seeing it."""
    return f"seen:v1:{viewer}"


def lately(viewer: str, now: datetime) -> set[str]:
    """The posts seen within `SEEN_DAYS`. Without Redis nothing is known to be seen."""
    since = (now - timedelta(days=settings.SEEN_DAYS)).timestamp()
    found: list[bytes] = cache.ask(lambda redis: redis.zrangebyscore(key(viewer), since, "+inf"), [])
    return {member.decode() for member in found}
