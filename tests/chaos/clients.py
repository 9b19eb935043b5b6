"""What is asked of the web server meanwhile: events are sent until they are acknowledged, feeds are read."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import urllib3

from nova.errors import Transient
from tests.chaos.town import Town
from tests.client import Api, event

BATCH = 100
_SENDERS = 8
_ACTIONS = {"impression": 58, "view": 20, "click": 8, "share": 6, "like": 5, "comment": 3}
_SENT_TWICE = 0.03
_OLD = 0.1
_LONGEST_PAUSE = 3.0
# A mobile client gives up, and sends the same again.
_PATIENCE = 10.0
_Batch = tuple[bool, UUID, list[dict[str, Any]]]


class Senders:
    """Apps and services that send events. All ids ever `made`; those `acknowledged` by a 202, each a UUID's text."""

    def __init__(self, url: str, secret: str, town: Town, chance: Random) -> None:
        self._url, self._secret, self._town, self._chance = url, secret, town, chance
        self._waiting: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0
        self.made: set[str] = set()
        self.acknowledged: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.rejected = 0

    def live(self, per_second: float, end: threading.Event) -> None:
        """Have events happen, `per_second` of them a second, until `end`."""
        size = max(1, min(BATCH, round(per_second / 2)))
        due = time.monotonic()
        while not end.wait(max(0.0, due - time.monotonic())):
            due += size / per_second
            batch = self._batch(size)
            self.made.update(one["event_id"] for one in batch[2])
            with self._lock:
                self._open += 1
            self._waiting.put(batch)

    def _batch(self, size: int) -> _Batch:
        """As a member whose events lie in one partition, or as a service with events of many members."""
        service = self._chance.random() < 0.5
        sender = self._chance.choice(self._town.members)
        events = []
        for _ in range(size):
            ago = self._chance.uniform(0, 20 * 3600) if self._chance.random() < _OLD else self._chance.uniform(0, 2)
            events.append(
                event(
                    self._chance.choice(self._town.members) if service else sender,
                    self._chance.choice(self._town.posts),
                    self._chance.choices(list(_ACTIONS), list(_ACTIONS.values()))[0],
                    event_id=str(uuid4()),
                    event_time=(datetime.now(UTC) - timedelta(seconds=ago)).isoformat(),
                    dwell_ms=self._chance.randrange(5000),
                )
            )
        return service, sender, events

    def threads(self, end: threading.Event) -> list[threading.Thread]:
        """Threads that send what happened, until `end`."""
        return [threading.Thread(target=self._send, args=(end,), daemon=True) for _ in range(_SENDERS)]

    def _send(self, end: threading.Event) -> None:
        api = Api(self._url, self._secret, timeout=_PATIENCE)
        while not end.is_set():
            try:
                batch = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            while not end.is_set() and (pause := self._try(api, batch)):
                end.wait(pause)
            # An answer may be lost on its way: then it is all sent again, acknowledged or not.
            if self._chance.random() < _SENT_TWICE:
                self._try(api, batch)
            with self._lock:
                self._open -= 1

    def _try(self, api: Api, batch: _Batch) -> float:
        """Send it once; the seconds to wait before the next try, 0.0 when it was acknowledged."""
        service, sender, events = batch
        try:
            answer = api.post("/api/events", sender, {"events": events}, as_viewer=not service)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            self.answers[type(error).__name__] += 1
            return 1.0
        self.answers[str(answer.status)] += 1
        if answer.status != 202:
            return min(float(answer.headers.get("Retry-After", "1")), _LONGEST_PAUSE)
        refused = {one["event_id"] for one in answer.body["invalid_events"]}
        with self._lock:
            self.rejected += len(refused)
            self.acknowledged.update(one["event_id"] for one in events if one["event_id"] not in refused)
        return 0.0

    @property
    def unanswered(self) -> int:
        """Batches that were not acknowledged yet."""
        return self._open


@dataclass
class Availability:
    """What GET /api/feed answered. longest: seconds from a good answer to the next with none between."""

    answers: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    slowest: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Good answers of all."""
        asked = sum(self.answers.values())
        return 1.0 if not asked else 1 - sum(self.failures.values()) / asked


def read_feeds(api: Api, town: Town, chance: Random, found: Availability, end: threading.Event) -> None:
    """Read some member's feed five times a second until `end`."""
    good = time.monotonic()
    failed = False
    while not end.wait(0.2):
        asked = time.monotonic()
        said = _ask(api, chance.choice(town.members))
        now = time.monotonic()
        found.answers[said] += 1
        found.slowest = max(found.slowest, now - asked)
        if said in GOOD:
            if failed:
                found.longest = max(found.longest, now - good)
            good, failed = now, False
        else:
            found.failures[said] += 1
            failed = True
    if failed:
        found.longest = max(found.longest, time.monotonic() - good)


GOOD = ("snapshot", "ranked", "by time", "stale")


def _ask(api: Api, member: UUID) -> str:
    try:
        answer = api.get("/api/feed?limit=20", member)
    except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
        return type(error).__name__
    if answer.status != 200:
        return str(answer.status)
    if answer.body["stale"]:
        return "stale"
    if answer.body["cache_hit"]:
        return "snapshot"
    return {"ch": "ranked", "time": "by time"}[answer.body["algorithm"]]


def poison(send: Callable[[bytes], None], per_second: float, end: threading.Event, kept: set[bytes]) -> None:
    """Messages that can never be read, written past the intake by `send`; `kept`: those that Kafka has acknowledged."""
    while not end.wait(1 / per_second):
        line = f"not an event {uuid4()}".encode()
        try:
            send(line)
        except Transient:
            continue
        kept.add(line)
