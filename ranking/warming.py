"""Keeping the feeds of the most active members ready, so that they need not wait for a ranking when they come.

A pass looks at them all in one round trip, ranks only those whose feed is missing, invalidated or about to expire, at
an even pace, and ends as soon as the breaker is not closed: ClickHouse then has better to do.

What it buys: the warmer notes which feeds it made (a hash in Redis). A member whose last event is later than that came
back to a feed that would not have been there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from django.conf import settings

from nova import clickhouse, clock, generations
from nova.errors import Transient
from ranking import breaker, building, cache, queries, snapshot, split
from ranking.breaker import State

# viewer → Unix seconds at which the warmer made the feed that they have not come back to yet.
MADE = "warm:v1:made"
_READ_SECONDS = 5
_ASKED_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Active:
    """A member, and when they last did something (Unix seconds)."""

    id: str
    last: float


@dataclass
class Report:
    """What a pass did. active: members looked at; ready: their feeds that were ready; due: those that were not;
    made: ranked now; bought, hits, misses: members that came since they were last looked at, to a feed that the warmer
    had made, to another that was ready, to none; stopped: why it ended early."""

    active: int = 0
    ready: int = 0
    due: int = 0
    made: int = 0
    bought: int = 0
    hits: int = 0
    misses: int = 0
    stopped: str = ""

    @property
    def ready_share(self) -> float:
        return self.ready / self.active if self.active else 1.0

    @property
    def ready_share_after(self) -> float:
        return (self.ready + self.made) / self.active if self.active else 1.0


def warm(
    now: datetime,
    *,
    seconds: float,
    since: datetime,
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, of: None,
) -> Report:
    """One pass, spread over `seconds`. since: of the pass before; who came later is counted.

    Raises a `nova.errors` class when nobody can be looked up, `RedisError` when there is nowhere to keep a feed.
    """
    end = monotonic() + seconds
    report = Report()
    if breaker.clickhouse.look().after is not State.CLOSED:
        report.stopped = "the breaker is open"
        return report
    active = most_active(now, timeout=min(30.0, seconds))
    members = [member for member in active if split.algorithm_of(member.id) == split.CH]
    states = _look(members, seconds_ahead=2 * seconds)
    due = [member for member, ready in zip(members, states, strict=True) if not ready]
    report.active, report.due = len(members), len(due)
    report.ready = report.active - report.due
    _count_visits(report, members, states, since, dry_run=dry_run)
    if dry_run:
        return report
    for done, member in enumerate(due):
        # An even pace over the time that is left, and no wait once it is short.
        pause = (end - monotonic()) / (len(due) - done)
        if pause <= 0:
            report.stopped = "its time was over"
            break
        begun = monotonic()
        if breaker.clickhouse.look().after is not State.CLOSED:
            report.stopped = "the breaker opened"
            break
        try:
            building.build(member.id, building.CH, clock.now())
        except breaker.Refused:
            report.stopped = "the breaker opened"
            break
        except Transient:
            # The breaker counts it; the next one may go well.
            continue
        cache.redis(_READ_SECONDS).hset(MADE, member.id, str(clock.now().timestamp()))
        report.made += 1
        progress(report.made, len(due))
        if done + 1 < len(due):
            sleep(max(0.0, pause - (monotonic() - begun)))
    return report


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


def _look(members: Sequence[Active], *, seconds_ahead: float) -> list[bool]:
    """For each member, whether a feed of their present generation is there, and still will be in `seconds_ahead`."""
    states: list[bool] = []
    for start in range(0, len(members), _ASKED_AT_ONCE):
        some = members[start : start + _ASKED_AT_ONCE]
        pipeline = cache.redis(_READ_SECONDS).pipeline(transaction=False)
        for member in some:
            name = snapshot.pointer(member.id, building.CH)
            pipeline.get(name)
            pipeline.pttl(name)
            pipeline.get(generations.key(member.id))
        found: list[Any] = pipeline.execute()
        for at in range(0, len(found), 3):
            pointer, left, generation = found[at : at + 3]
            current = bool(pointer) and int(pointer.split()[1]) == int(generation or 0)
            states.append(current and left > 1000 * seconds_ahead)
    return states


def _count_visits(
    report: Report, members: Sequence[Active], ready: Sequence[bool], since: datetime, *, dry_run: bool
) -> None:
    """Who came since the last pass, and to what."""
    if not members:
        return
    client = cache.redis(_READ_SECONDS)
    made = client.hmget(MADE, [member.id for member in members])
    came = []
    for member, is_ready, at in zip(members, ready, made, strict=True):
        if at is not None and member.last > float(at):
            report.bought += 1
            came.append(member.id)
        elif member.last > since.timestamp():
            report.hits += is_ready
            report.misses += not is_ready
    if came and not dry_run:
        client.hdel(MADE, *came)
    if not dry_run:
        client.expire(MADE, settings.SNAPSHOT_HARD_SECONDS)
