"""The simulated community: members who post, follow, like, comment, read and scroll, through the REST API only.

    python -m embedded.simulation --url http://127.0.0.1:8000 [--actions 5] [--events 20] [--seed N]

A service token from `manage.py issue_token --service` acts for one member at a time (header X-Act-For). An API
that is away is waited for. SIGTERM and SIGINT end it after the request that is under way.
"""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from embedded import phrases
from embedded.paths import ROOT, write_private

JSON = dict[str, Any]
MEMBERS_EVERY = 60.0
REPORT_EVERY = 2.0
LONGEST_PAUSE = 10.0
DEVICES = ("ios", "android", "web")


@dataclass
class Member:
    """Somebody of the community; tongue and eagerness follow from the id, so that they stay the same."""

    id: str
    tongue: phrases.Tongue
    eagerness: float
    feed: list[JSON] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, id: str) -> "Member":
        """The member of that id."""
        nature = Random(id)
        return cls(id, nature.choice(phrases.TONGUES), nature.paretovariate(1.2))


class Ended(Exception):
    """Somebody asked for the end while we were waiting."""


class Api:
    """The REST API as a patient client sees it. `call` may wait for long; raises Ended when it is time to go."""

    def __init__(self, url: str, token: Callable[[], str], end: threading.Event) -> None:
        self._client = httpx.Client(base_url=url, timeout=10.0)
        self._issue, self._token, self._end = token, "", end
        self.refused: Counter[str] = Counter()

    def call(self, method: str, path: str, *, member: str | None = None, body: JSON | None = None) -> Any:
        """The answer's JSON; None when it has none, or when the API refused this one call (a 4xx: go on)."""
        pause = 0.25
        while not self._end.is_set():
            if not self._token:
                self._token = self._issue()
            headers = {"Authorization": f"Bearer {self._token}"} | ({"X-Act-For": member} if member else {})
            try:
                reply = self._client.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                reply = None
            if reply is not None and reply.status_code < 400:
                return reply.json() if reply.content else None
            if reply is not None and reply.status_code == 401:
                self._token = ""
            elif reply is not None and 400 <= reply.status_code < 500 and reply.status_code != 429:
                self.refused[f"{method} {path.split('?')[0]} {reply.status_code}"] += 1
                return None
            asked = reply.headers.get("Retry-After", "") if reply is not None else ""
            self._end.wait(min(float(asked), LONGEST_PAUSE) if asked.isdigit() else pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        raise Ended


class Community:
    """What the members do. Counts what was done in `done`."""

    def __init__(self, api: Api, random: Random) -> None:
        self._api, self._random = api, random
        self.members: list[Member] = []
        self.done: Counter[str] = Counter()
        self._events: list[JSON] = []

    def meet(self) -> None:
        """Learn who is there; who is known already keeps what they have seen."""
        known = {member.id: member for member in self.members}
        answer = self._api.call("GET", "/api/members?limit=100")
        listed = [entry["id"] for entry in _items(answer)]
        self.members = [known.get(id) or Member.of(id) for id in listed]

    def _somebody(self) -> Member:
        return self._random.choices(self.members, [member.eagerness for member in self.members])[0]

    def act(self) -> None:
        """One member does one thing."""
        kinds: dict[Callable[[Member], bool], int] = {
            self._like: 45,
            self._comment: 20,
            self._post: 20,
            self._follow: 11,
            self._unfollow: 2,
            self._unlike: 2,
        }
        kind = self._random.choices(list(kinds), list(kinds.values()))[0]
        member = self._somebody()
        if not kind(member):
            self._post(member)

    def _post(self, member: Member) -> bool:
        body = {"text": phrases.post(member.tongue, self._random), "media": []}
        return self._do("posts", "POST", "/api/posts", member, body)

    def _follow(self, member: Member) -> bool:
        other = self._somebody()
        if other is member or other.id in member.follows:
            return False
        member.follows.append(other.id)
        return self._do("follows", "POST", "/api/follows", member, {"followee_id": other.id})

    def _unfollow(self, member: Member) -> bool:
        if not member.follows:
            return False
        other = member.follows.pop(self._random.randrange(len(member.follows)))
        return self._do("unfollows", "DELETE", f"/api/follows/{other}", member)

    def _like(self, member: Member) -> bool:
        post = self._some_post(member)
        return bool(post) and self._do("likes", "POST", "/api/likes", member, {"post_id": post})

    def _unlike(self, member: Member) -> bool:
        post = self._some_post(member)
        return bool(post) and self._do("unlikes", "DELETE", f"/api/likes/{post}", member)

    def _comment(self, member: Member) -> bool:
        post = self._some_post(member)
        body = {"post_id": post, "text": phrases.comment(member.tongue, self._random)}
        return bool(post) and self._do("comments", "POST", "/api/comments", member, body)

    def _do(self, name: str, method: str, path: str, member: Member, body: JSON | None = None) -> bool:
        self._api.call(method, path, member=member.id, body=body)
        self.done[name] += 1
        return True

    def _some_post(self, member: Member) -> str:
        """A post the member has just read; upper ones are likelier, as on any screen."""
        if not member.feed:
            self.read(member)
        if not member.feed:
            return ""
        place = min(int(self._random.expovariate(0.3)), len(member.feed) - 1)
        return str(member.feed[place]["id"])

    def read(self, member: Member) -> None:
        """Open the feed (of newcomers: the latest posts) and scroll: impressions, some views, a click now and then."""
        member.feed = _items(self._api.call("GET", "/api/feed?limit=20", member=member.id))
        if not member.feed:
            member.feed = _items(self._api.call("GET", "/api/posts?limit=20", member=member.id))
        device = self._random.choice(DEVICES)
        for place in range(min(len(member.feed), self._random.randint(4, 12))):
            post = str(member.feed[place]["id"])
            self._see(member, post, "impression", device)
            if self._random.random() < 0.4:
                self._see(member, post, "view", device, dwell_ms=int(self._random.lognormvariate(8.0, 0.8)))
            if self._random.random() < 0.08:
                self._see(member, post, self._random.choice(("click", "click", "share")), device)

    def _see(self, member: Member, post: str, action: str, device: str, **more: int) -> None:
        # The id is the client's idempotency key: it must be new on every run, whatever the seed.
        event: JSON = {"event_id": str(uuid.uuid4()), "event_time": datetime.now(UTC).isoformat(), "user_id": member.id}
        self._events.append(event | {"post_id": post, "action": action, "device": device, "app_ver": "demo-1"} | more)

    def scroll(self, number: int) -> None:
        """Send about `number` events in one batch; members read until there are that many."""
        for _ in range(5):
            if len(self._events) >= number:
                break
            self.read(self._somebody())
        batch, self._events = self._events[:number], self._events[number:]
        if batch and self._api.call("POST", "/api/events", body={"events": batch}) is not None:
            self.done["events"] += len(batch)


def _items(answer: Any) -> list[JSON]:
    """The list in an answer: the answer itself, or whichever of its fields holds posts or items."""
    if isinstance(answer, dict):
        answer = answer.get("posts", answer.get("items", answer.get("results")))
    return answer if isinstance(answer, list) else []


def issue_token() -> str:
    """A service token from the management command; empty when that failed (the database may be away: ask again)."""
    command = [sys.executable, str(ROOT / "manage.py"), "issue_token", "--service"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no service token: {done.stderr.strip()[-500:]}", file=sys.stderr, flush=True)
        return ""
    return done.stdout.strip().splitlines()[-1]


def live(community: Community, end: threading.Event, *, actions: float, events: float, report: Path | None) -> None:
    """Act `actions` times and send `events` events a second, until `end` is set; a late beat is not made up for."""
    due = {"meet": 0.0, "act": 0.0, "scroll": 0.0, "report": 0.0}
    beats: dict[str, tuple[float, Callable[[], None]]] = {
        "meet": (MEMBERS_EVERY, community.meet),
        "act": (1 / actions, community.act),
        "scroll": (1.0, lambda: community.scroll(round(events))),
        "report": (REPORT_EVERY, lambda: _report(community, report)),
    }
    while not end.is_set():
        name = min(due, key=lambda beat: due[beat])
        if end.wait(max(0.0, due[name] - time.monotonic())):
            return
        period, do = beats[name]
        if community.members or name in ("meet", "report"):
            do()
        due[name] = max(due[name] + period, time.monotonic() - period)
        if name == "meet" and not community.members:
            due[name] = time.monotonic() + 2.0


def _report(community: Community, path: Path | None) -> None:
    if path is not None:
        write_private(path, json.dumps(dict(community.done)) + "\n")


def main() -> int:
    """Live until SIGTERM or SIGINT; exit code 0."""
    parser = argparse.ArgumentParser("python -m embedded.simulation", description=__doc__)
    parser.add_argument("--url", required=True, help="where the REST API listens")
    parser.add_argument("--actions", type=float, default=5.0, help="actions per second (5)")
    parser.add_argument("--events", type=float, default=20.0, help="events per second (20)")
    parser.add_argument("--seed", type=int, help="the same choices in the same order")
    parser.add_argument("--report", type=Path, help="a file that counts what was done, renewed every 2 s")
    given = parser.parse_args()
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    api = Api(given.url, issue_token, end)
    community = Community(api, Random(given.seed))
    with suppress(Ended):
        live(community, end, actions=given.actions, events=given.events, report=given.report)
    print(json.dumps({"done": community.done, "refused": api.refused}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
