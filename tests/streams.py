"""Event streams over a real socket: a reader, and the processes they come from. A plugin, named by who uses it."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import urllib3

from tests.apps import ROOT, STREAM, Apps, deploy, running_apps
from tests.client import Answer, Api, wait_until
from tests.world import World

# Short enough that a test sees several of each.
HEARTBEAT_SECONDS, LEASE_SECONDS = 0.5, 3
OVERRIDES = {
    "STREAM_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    "STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
    "STREAM_POLL_SECONDS": "0.1",
    "SNAPSHOT_SOFT_SECONDS": "3600",
    "SNAPSHOT_HARD_SECONDS": "7200",
    "LIMIT_STREAM": "100000",
}


@dataclass(frozen=True)
class Event:
    """An event as an EventSource would give it to the page."""

    name: str
    data: Any
    id: str


class Stream:
    """One reader. `answer` is known at once; events and heartbeats are collected in the background."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=30, read=120))
        # As every EventSource asks.
        headers = {"Accept": "text/event-stream", **(headers or {})}
        self._response = self._http.request("GET", url, headers=headers, preload_content=False, redirect=False)
        self.status, self.headers = self._response.status, self._response.headers
        self.events: list[Event] = []
        self.heartbeats, self.retry, self.last_id = 0, 0, ""
        self._beats_by_event = 0
        # None while it goes on; then whether it ended as an answer should, rather than being cut off.
        self.ended_well: bool | None = None
        if self.status == 200:
            threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        rest = b""
        try:
            for chunk in self._response.stream(65_536):
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
            self.ended_well = True
        except Exception:
            self.ended_well = False

    def _take(self, block: str) -> None:
        if block.startswith(":"):
            self.heartbeats += 1
            return
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self.retry = int(fields.get("retry", self.retry))
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            self.events.append(Event(fields["event"], json.loads(fields["data"]), self.last_id))
            self._beats_by_event = self.heartbeats

    def answer(self) -> Answer:
        """The body of a stream that was not opened."""
        data = self._response.read()
        return Answer(self.status, json.loads(data) if data else {}, self.headers)

    def told(self, name: str) -> list[Any]:
        """The data of the events of a name, so far."""
        return [event.data for event in self.events if event.name == name]

    def wait_ready(self) -> None:
        """Until the reader knows where it stands, and what changed before has been told."""
        wait_until(lambda: self.last_id, "the stream's first id")

    def wait_beats(self, count: int = 2) -> None:
        """Until so many more heartbeats have come: what was to be said has been said."""
        wanted = self.heartbeats + count
        wait_until(lambda: self.heartbeats >= wanted, "heartbeats")

    def wait_quiet(self, count: int = 3) -> None:
        """Until so many heartbeats have come in a row with no event between them."""
        wait_until(lambda: self.heartbeats - self._beats_by_event >= count, f"a quiet stream: {self.events}")

    def wait_count(self, count: int) -> None:
        """Until the reader knows of so many new posts."""
        wait_until(lambda: self.told("new_posts")[-1:] == [{"count": count}], f"{count} new posts: {self.events}")

    def close(self) -> None:
        """Go away without a word, as a reader does."""
        # One that has ended holds nothing to be shut down.
        with suppress(ValueError, RuntimeError):
            self._response.shutdown()
        self._response.close()
        self._http.clear()


class Readers:
    """Opens streams and closes what is left of them at the end."""

    def __init__(self, apps: Apps, api: Api) -> None:
        self._apps, self._api = apps, api
        self._open: list[Stream] = []

    def open(self, member: UUID, query: str = "", *, last: str = "") -> Stream:
        """A stream of this member with their own token. last: the id they come back with."""
        headers = {"Authorization": f"Bearer {self._api.token(member)}"}
        return self.at(f"/api/feed/stream?{query}", {**headers, "Last-Event-ID": last} if last else headers)

    def holding(self, member: UUID) -> Stream:
        """A stream of a member who has just read their feed, once it knows where it stands."""
        stream = self.open(member, f"since={self._api.feed(member)['snapshot']}")
        assert stream.status == 200, stream.answer()
        stream.wait_ready()
        return stream

    def at(self, path: str, headers: Mapping[str, str] | None = None) -> Stream:
        """A stream by its address; a path is one of the process for streams."""
        url = path if path.startswith("http") else f"{self._apps.stream_url}{path}"
        self._open.append(Stream(url, headers))
        return self._open[-1]

    def close(self) -> None:
        for stream in self._open:
            stream.close()


@pytest.fixture(scope="module")
def apps() -> Iterator[Apps]:
    """The web server, the process for streams, and the consumer that brings what happens in PostgreSQL."""
    deploy(os.environ)
    folder = ROOT / os.environ.get("NOVA_VAR", "var-test") / "streams"
    with running_apps(os.environ, folder, ["web", STREAM, "cdc"], overrides=OVERRIDES) as running:
        yield running


@pytest.fixture
def api(apps: Apps) -> Api:
    return Api(apps.url, os.environ["JWT_SECRET"])


@pytest.fixture
def world(api: Api) -> Iterator[World]:
    made = World(api, os.environ["DATABASE_URL"])
    yield made
    made.close()


@pytest.fixture
def readers(apps: Apps, api: Api) -> Iterator[Readers]:
    made = Readers(apps, api)
    yield made
    made.close()


@pytest.fixture
def metric(apps: Apps) -> Callable[[str], float]:
    """metric(name) → the sum of its samples, as the process for streams tells it."""

    def read(name: str) -> float:
        text = urllib3.request("GET", f"{apps.stream_url}/metrics", timeout=60).data.decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + " ", name + "{"))
        )

    return read


@pytest.fixture
def pair(world: World) -> tuple[UUID, UUID]:
    """(author, reader): the reader follows the author, and has a post of theirs in the feed."""
    author, reader = world.member(), world.member()
    world.follow(reader, author)
    world.wait_in_feed(reader, world.post(author, f"the first {uuid4().hex}"))
    return author, reader
