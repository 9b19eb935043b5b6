"""Taking events in: judged, given their author, written to Kafka, and answered only when the broker has them.

Nothing is claimed for deduplication here: a claim before the event is stored would make the consumer drop the event.
"""

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from community import selectors
from ingestion import contract
from ingestion.contract import Event
from ingestion.errors import InvalidMessage
from nova import kafka, metrics, redis, topics
from nova.errors import Transient

log = structlog.get_logger(__name__)

# What a member has seen lately, for the fallback that must do without ClickHouse; ClickHouse has it all.
SEEN_SECONDS = 7 * 86_400
SEEN_POSTS = 1000
SEEN_DWELL_MS = 1000
_AUTHORS_REMEMBERED = 100_000
# KEYS: a sorted set for each member. ARGV: the most posts in each, its life (s), how many posts each gets, and then all
# of these, one member's after the other's: time and post. One call, since a service sends for many members at once.
_NOTE_SEEN = """
local at = 2 + #KEYS
for i, key in ipairs(KEYS) do
  local count = tonumber(ARGV[2 + i])
  redis.call('ZADD', key, 'GT', unpack(ARGV, at + 1, at + 2 * count))
  redis.call('ZREMRANGEBYRANK', key, 0, -ARGV[1] - 1)
  redis.call('EXPIRE', key, ARGV[2])
  at = at + 2 * count
end
"""


@dataclass(frozen=True)
class Rejected:
    """An event that was not accepted: its place in the request, its id if it had one, and why."""

    index: int
    event_id: str | None
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of a request's events: received = accepted + duplicates (within it) + rejected."""

    received: int
    accepted: int
    duplicates: int
    rejected: int
    invalid_events: list[Rejected] = field(default_factory=list)


class _Authors:
    """Post → author, as far as this process has asked. Authors never change; the longest known is forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[UUID, UUID] = {}

    def of(self, posts: Collection[UUID]) -> dict[UUID, UUID]:
        """The authors of those posts that exist, with one query for all that are not known yet."""
        found = {post: author for post in posts if (author := self._known.get(post)) is not None}
        if unknown := [post for post in posts if post not in found]:
            fresh = selectors.authors_of(unknown)
            found |= fresh
            with self._lock:
                self._known |= fresh
                while len(self._known) > self._size:
                    del self._known[next(iter(self._known))]
        return found


_authors = _Authors(_AUTHORS_REMEMBERED)


def accept(raw_events: Sequence[Any], viewer: UUID, now: datetime, *, service: bool = False) -> Receipt:
    """Judge and publish a request's events (JSON-decoded).

    viewer: who sends them, and whose they must be unless a `service` sends them. now: aware; ages are measured by it.

    All valid events are in Kafka when this returns. Raises `Transient` when the broker has not acknowledged all of
    them: then none counts as accepted, and the client sends the same again (repeats are recognised by their ids).
    """
    events: dict[UUID, Event] = {}
    rejected: list[Rejected] = []
    duplicates = 0
    candidates: list[tuple[int, Event]] = []
    for index, item in enumerate(raw_events):
        try:
            candidates.append((index, _judged(item, viewer, service, now)))
        except InvalidMessage as error:
            rejected.append(Rejected(index, _id_of(item), str(error)))
    authors = _authors.of({event.post_id for _, event in candidates})
    for index, event in candidates:
        author = authors.get(event.post_id)
        if author is None:
            rejected.append(Rejected(index, str(event.event_id), "post_id: There is no such post"))
        elif event.author_id not in (None, author):
            rejected.append(Rejected(index, str(event.event_id), "author_id: Not the author of this post"))
        elif event.event_id in events:
            duplicates += 1
        else:
            events[event.event_id] = _by(event, author)
    count = metrics.INTAKE_EVENTS.labels
    try:
        publish(events.values())
    except Transient:
        count("unavailable").inc(len(events))
        raise
    count("accepted").inc(len(events))
    count("duplicate").inc(duplicates)
    count("rejected").inc(len(rejected))
    remember_seen(events.values())
    return Receipt(
        received=len(raw_events),
        accepted=len(events),
        duplicates=duplicates,
        rejected=len(rejected),
        invalid_events=sorted(rejected, key=lambda one: one.index),
    )


def _judged(item: Any, viewer: UUID, service: bool, now: datetime) -> Event:
    """An event of a request as it will be stored, its author still open. Raises `InvalidMessage`."""
    given = contract.submitted(item)
    event = Event(
        event_id=given.event_id,
        event_time=given.event_time,
        user_id=given.user_id,
        post_id=given.post_id,
        author_id=given.author_id,
        action=given.action,
        dwell_ms=given.dwell_ms,
        device=given.device,
        app_ver=given.app_ver,
        source="service" if service else "client",
    )
    if not service and event.user_id != viewer:
        raise InvalidMessage("schema", "user_id", "Not the viewer")
    contract.check(event, now)
    return event


def _by(event: Event, author: UUID) -> Event:
    return event if event.author_id == author else contract.with_author(event, author)


def _id_of(item: Any) -> str | None:
    identifier = item.get("event_id") if isinstance(item, dict) else None
    return identifier[:64] if isinstance(identifier, str) else None


def publish(events: Iterable[Event]) -> None:
    """Write events to Kafka and wait for every acknowledgement, `INTAKE_ACK_SECONDS` at most.

    Raises `Transient`: some may have been written, send all of them again.
    """
    records: list[kafka.Record] = [(event.key(), event.line(), None) for event in events]
    if records:
        started = time.perf_counter()
        kafka.send(topics.EVENTS, records, timeout=settings.INTAKE_ACK_SECONDS)
        metrics.INTAKE_ACK_SECONDS.observe(time.perf_counter() - started)


def seen_key(user: UUID) -> str:
    """The Redis key of the posts that a member saw lately: a sorted set of post ids (text) by Unix seconds."""
    return f"seen:v1:{user}"


def remember_seen(events: Iterable[Event]) -> None:
    """Note which posts were seen. Best effort: ClickHouse will know, whatever Redis does."""
    seen: dict[UUID, dict[str, float]] = {}
    for event in events:
        looked = event.action == "impression" and (event.dwell_ms or 0) >= SEEN_DWELL_MS
        if looked or event.action in ("view", "click"):
            seen.setdefault(event.user_id, {})[str(event.post_id)] = event.event_time.timestamp()
    if not seen:
        return
    # More would not stay, and Lua unpacks some thousand values at most.
    newest = [nlargest(SEEN_POSTS, posts.items(), key=itemgetter(1)) for posts in seen.values()]
    counts = map(len, newest)
    moments = [part for posts in newest for post, moment in posts for part in (moment, post)]
    keys = map(seen_key, seen)
    try:
        redis.cache().eval(_NOTE_SEEN, len(seen), *keys, SEEN_POSTS, SEEN_SECONDS, *counts, *moments)
    except RedisError as error:
        log.warning("seen_not_noted", error=str(error))
