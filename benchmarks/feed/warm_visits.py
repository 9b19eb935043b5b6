"""Members who come back: sessions at moments fixed beforehand, and what each reading met."""

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import jwt
import redis
import urllib3

from benchmarks.feed.warm_community import Community
from benchmarks.ingest.bench import Bench

# Of the active members: those who come again and again, and those who come once, after a quarter of an hour or more.
OFTEN, SELDOM, OTHERS = "often", "seldom", "others"
OFTEN_SHARE = 0.8
GAP_SECONDS = (50.0, 130.0)
"""Between two sessions of a member who comes often."""
OTHERS_PER_SECOND = 0.5
# In a session: the next page, a look for news, and what was seen.
_MORE, _AGAIN, _EVENTS = (0.6, 4.0), (0.4, 8.0), (0.3, 9.0)
_THREADS = 16
_LIMIT = 20
# What stood in Redis when a member came.
CURRENT, INVALIDATED, NONE = "current", "invalidated", "none"


@dataclass(frozen=True, slots=True)
class Visit:
    """One call. at: seconds from the beginning; kind: open, more, again, events."""

    at: float
    member: UUID
    group: str
    kind: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a GET /api/feed met. found: in Redis just before; age: seconds since the feed was ranked; late: seconds that
    it was asked after its moment, since others were waited for."""

    visit: Visit
    status: int
    hit: bool
    found: str
    age: float
    seconds: float
    late: float


def plan(community: Community, warm_up: float, end: float, seed: int) -> list[Visit]:
    """The visits of a phase, by time: members who come often begin in the warm-up, those who come seldom after it."""
    chance = random.Random(seed)
    visits: list[Visit] = []
    often = round(OFTEN_SHARE * len(community.active))
    for member in community.active[:often]:
        at = chance.uniform(0, warm_up * 0.9)
        while at < end:
            visits += _session(at, member, OFTEN, chance)
            at += chance.uniform(*GAP_SECONDS)
    for member in community.active[often:]:
        visits += _session(chance.uniform(warm_up, end), member, SELDOM, chance)
    for member in chance.sample(community.others, round(OTHERS_PER_SECOND * end)):
        visits += _session(chance.uniform(0, end), member, OTHERS, chance)
    return sorted((visit for visit in visits if visit.at < end), key=lambda visit: visit.at)


def _session(at: float, member: UUID, group: str, chance: random.Random) -> list[Visit]:
    later = (("more", _MORE), ("again", _AGAIN), ("events", _EVENTS))
    rest = [Visit(at + after, member, group, kind) for kind, (share, after) in later if chance.random() < share]
    return [Visit(at, member, group, "open"), *rest]


def cache(bench: Bench) -> redis.Redis:
    """The Redis that holds the feeds."""
    return redis.Redis.from_url(bench.env.get("REDIS_CACHE_URL") or bench.env["REDIS_URL"])


class Readers:
    """Threads that make the visits of a plan, each at its moment as far as the answers let them."""

    def __init__(self, bench: Bench, url: str, community: Community) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=_THREADS, retries=False, timeout=30)
        self._redis = cache(bench)
        claims = {"exp": int(time.time()) + 7200}
        self._tokens = {
            member: jwt.encode({"sub": str(member), **claims}, bench.env["JWT_SECRET"], algorithm="HS256")
            for member in community.members
        }
        # What each member was shown last.
        self._pages: dict[UUID, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def make(self, visits: Sequence[Visit], since: float) -> list[Reading]:
        """Make all of them; what the readings met. since: the moment of the plan that is now.

        Raises RuntimeError for an answer that is neither a feed nor 202.
        """
        self._rest, self._readings, self._failures = iter(visits), [], []
        self._begun = time.monotonic() - since
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise RuntimeError(f"{len(self._failures)} readers failed: {self._failures[0]}")
        return self._readings

    _rest: Any
    _readings: list[Reading]
    _failures: list[str]

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    visit = next(self._rest, None)
                if visit is None:
                    return
                late = time.monotonic() - self._begun - visit.at
                if late < 0:
                    time.sleep(-late)
                if visit.kind == "events":
                    self._tell(visit)
                else:
                    self._read(visit, max(0.0, late))
        except Exception as error:
            self._failures.append(repr(error))

    def _read(self, visit: Visit, late: float) -> None:
        cursor = self._pages.get(visit.member, {}).get("cursor") if visit.kind == "more" else None
        found = self._found(visit.member)
        begun = time.monotonic()
        address = f"{self._url}/api/feed?limit={_LIMIT}" + (f"&cursor={cursor}" if cursor else "")
        answer = self._http.request("GET", address, headers=self._headers(visit.member))
        seconds = time.monotonic() - begun
        body = json.loads(answer.data) if answer.status == 200 else {}
        self._pages[visit.member] = body
        made = datetime.fromisoformat(body["generated_at"]) if body else datetime.now(UTC)
        age = (datetime.now(UTC) - made).total_seconds()
        self._readings.append(
            Reading(visit, answer.status, bool(body.get("cache_hit")), found, age, seconds, late),
        )

    def _found(self, member: UUID) -> str:
        pointer, generation = self._redis.mget(f"feed:v1:{member}", f"gen:v1:{member}")
        if pointer is None:
            return NONE
        return CURRENT if int(pointer.split()[1]) == int(generation or 0) else INVALIDATED

    def _tell(self, visit: Visit) -> None:
        """What the member saw of the page."""
        posts = self._pages.get(visit.member, {}).get("posts", [])
        if not posts:
            return
        events = [
            {
                "event_id": str(uuid4()),
                "event_time": datetime.now(UTC).isoformat(),
                "user_id": str(visit.member),
                "post_id": post["id"],
                "action": "click" if not at else "impression",
                "dwell_ms": 400 * (at % 5),
                "device": "ios",
                "app_ver": "3.2.1",
            }
            for at, post in enumerate(posts)
        ]
        headers = self._headers(visit.member) | {"Content-Type": "application/json"}
        body = json.dumps({"events": events}).encode()
        answer = self._http.request("POST", f"{self._url}/api/events", body=body, headers=headers)
        if answer.status != 202:
            raise RuntimeError(f"POST /api/events answered {answer.status}: {answer.data.decode()[:300]}")

    def _headers(self, member: UUID) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens[member]}"}
