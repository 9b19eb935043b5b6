"""Keeping the feeds of the most active members ready, so that they need not wait for a ranking when they come.

A pass looks at them all in two round trips, every few seconds anew: what a followee's post invalidates in the middle of
a pass does not wait for the next one. It ranks only those whose feed is missing, invalidated, of other weights than now
or about to expire, at an even pace: just fast enough for all to have a turn in one pass, and resting after each ranking
for as long as that took, so that a busy ClickHouse is asked less. It ends as soon as the breaker is not closed. A feed
past its soft age is ready: it is served, and made anew by who comes.

What it buys: the warmer notes when it made which feeds (a sorted set in Redis). A member whose last event is later than
that, while the feed still was there, came back to one that would not have been.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from nova import clickhouse, clock, generations
from nova.errors import NovaError
from ranking import breaker, building, cache, queries, snapshot, split
from ranking.breaker import State

# Viewers by the Unix seconds at which the warmer made the feed that they have not come back to yet.
MADE = "warm:v2:made"
_READ_SECONDS = 5
_ASKED_AT_ONCE = 2000
_LOOK_EVERY_SECONDS = 5.0
# Between two rankings, at most; less when there are so many members that they would not fit into a pass.
_PAUSE_SECONDS = 0.1
# A feed that expires sooner may be gone before the next pass comes to it.
_AHEAD_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Active:
    """A member, and when they last did something (Unix seconds)."""

    id: str
    last: float


@dataclass
class Report:
    """What a pass did. active: members looked at; ready: their feeds that were ready at its beginning; due: members
    whose feed was found not ready, then or later; made, failed: rankings; left: members not ready when last looked at,
    and not tried since; bought, hits, misses: members that came since the pass before, to a feed that the warmer had
    made, to another that was ready, to none; stopped: why it ended early."""

    active: int = 0
    ready: int = 0
    due: int = 0
    made: int = 0
    failed: int = 0
    left: int = 0
    bought: int = 0
    hits: int = 0
    misses: int = 0
    stopped: str = ""

    @property
    def ready_share(self) -> float:
        return self.ready / self.active if self.active else 1.0

    @property
    def ready_share_after(self) -> float:
        return 1 - self.left / self.active if self.active else 1.0


def warm(
    now: datetime,
    *,
    seconds: float,
    since: datetime,
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, of: None,
) -> Report:
    """One pass, which lasts `seconds` unless nobody is active. since: of the pass before; who came later is counted.

    Raises a `nova.errors` class when nobody can be looked up, `RedisError` when there is nowhere to keep a feed.
    """
    end = monotonic() + seconds
    report = Report()
    if breaker.clickhouse.look().after is not State.CLOSED:
        report.stopped = "the breaker is open"
        return report
    active = most_active(now, timeout=min(30.0, seconds))
    members = [member for member in active if split.algorithm_of(member.id) == split.CH]
    states = look(members)
    report.active, report.ready = len(members), sum(states)
    report.due = report.left = report.active - report.ready
    _count_visits(report, members, states, since, dry_run=dry_run)
    if members and not dry_run:
        # In one pass all can have their turn.
        _keep_ready(members, states, end, min(_PAUSE_SECONDS, seconds / len(members)), report, progress)
    return report


def _keep_ready(
    members: Sequence[Active],
    states: Sequence[bool],
    end: float,
    pause: float,
    report: Report,
    progress: Callable[[int, int | None], None],
) -> None:
    """Make what is not ready, and look again, until `end`. pause: seconds from the beginning of one to the next."""
    found: set[str] = set()
    tried: Counter[str] = Counter()
    while True:
        look_again = min(end, monotonic() + _LOOK_EVERY_SECONDS)
        due = [member for member, ready in zip(members, states, strict=True) if not ready]
        found.update(member.id for member in due)
        report.due, report.left = len(found), len(due)
        # Who has had a turn comes after those who have not, else whoever did most.
        for member in sorted(due, key=lambda one: tried[one.id]):
            begun = monotonic()
            if breaker.clickhouse.look().after is not State.CLOSED or not _make(member, report):
                report.stopped = "the breaker opened"
                return
            tried[member.id] += 1
            report.left -= 1
            progress(report.made, None)
            ended = monotonic()
            sleep(max(0.0, min(max(begun + pause, ended + (ended - begun)), look_again) - ended))
            if monotonic() >= look_again:
                break
        sleep(max(0.0, look_again - monotonic()))
        if look_again >= end:
            break
        states = look(members)
    if report.left:
        report.stopped = "its time was over"


def _make(member: Active, report: Report) -> bool:
    """Rank a member's feed; whether the breaker let us."""
    try:
        building.build(member.id, building.CH, clock.now())
    except breaker.Refused:
        return False
    except NovaError:
        # The breaker counts it; the next one may go well.
        report.failed += 1
        return True
    cache.redis(_READ_SECONDS).zadd(MADE, {member.id: clock.now().timestamp()})
    report.made += 1
    return True


def most_active(now: datetime, timeout: float) -> list[Active]:
    """The `WARM_MEMBERS` that did most in the last `WARM_HOURS`. Raises as `clickhouse.query` does."""
    parameters = {
        "now": queries.moment(now),
        "after": queries.moment(now - timedelta(hours=settings.WARM_HOURS)),
        "cap": settings.WARM_MEMBERS,
    }
    rows: list[tuple[UUID, int, datetime]] = breaker.clickhouse.call(
        lambda: clickhouse.query(queries.sql("active_members"), parameters, timeout=timeout)
    )
    return [Active(str(member), last.timestamp()) for member, _, last in rows]


def look(members: Sequence[Active]) -> list[bool]:
    """For each member, whether a feed of their present generation and weights is there, and still will be for a while.

    Raises `RedisError`.
    """
    now, redis = clock.now(), cache.redis(_READ_SECONDS)
    ahead = 1000 * min(_AHEAD_SECONDS, settings.SNAPSHOT_HARD_SECONDS / 2)
    states: list[bool] = []
    for start in range(0, len(members), _ASKED_AT_ONCE):
        some = members[start : start + _ASKED_AT_ONCE]
        pipeline = redis.pipeline(transaction=False)
        for member in some:
            name = snapshot.pointer(member.id, building.CH)
            pipeline.get(name)
            pipeline.pttl(name)
            pipeline.get(generations.key(member.id))
        found: list[Any] = pipeline.execute()
        snapshots: list[str] = []
        for pointer, left, generation in zip(found[::3], found[1::3], found[2::3], strict=True):
            named, made_for = pointer.split()[:2] if pointer else (b"", b"")
            there = pointer and int(made_for) == int(generation or 0) and left > ahead
            snapshots.append(named.decode() if there else "")
        pipeline = redis.pipeline(transaction=False)
        for member, name in zip(some, snapshots, strict=True):
            pipeline.lindex(snapshot.key(member.id, name), 0)
        for member, about in zip(some, pipeline.execute(), strict=True):
            weights = building.weights_of(member.id, building.CH, now)
            states.append(bool(about) and orjson.loads(about)["version"] == weights.version)
    return states


def _count_visits(
    report: Report, members: Sequence[Active], ready: Sequence[bool], since: datetime, *, dry_run: bool
) -> None:
    """Who came since the last pass, and to what."""
    if not members:
        return
    client, lasts = cache.redis(_READ_SECONDS), settings.SNAPSHOT_HARD_SECONDS
    if not dry_run:
        # Whoever came to these was counted by an earlier pass. Nearly everybody who leaves leaves one behind.
        client.zremrangebyscore(MADE, "-inf", since.timestamp() - lasts)
    made = client.zmscore(MADE, [member.id for member in members])
    came = []
    for member, is_ready, at in zip(members, ready, made, strict=True):
        if at is not None and at < member.last <= at + lasts:
            report.bought += 1
            came.append(member.id)
        elif member.last > since.timestamp():
            report.hits += is_ready
            report.misses += not is_ready
    if came and not dry_run:
        client.zrem(MADE, *came)
    if not dry_run:
        client.expire(MADE, lasts)
