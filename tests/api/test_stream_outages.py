"""Event streams while a part is down, while their process ends or is full, and after readers went away."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from redis.exceptions import ConnectionError as NoConnection

from embedded.process import family
from embedded.testing import Stack
from feed.stream import places
from feed.stream.asgi import Streams
from feed.stream.hub import hub
from nova import redis
from ranking import pipeline
from tests.apps import ROOT, STREAM, Apps, running_apps
from tests.client import Api, wait_until
from tests.streams import OVERRIDES, Readers
from tests.world import World

pytest_plugins = ["tests.streams"]

Pair = tuple[UUID, UUID]
MANY = 200
# Places that are not given back stay taken longer than a test waits.
LEASE_SECONDS = 600


@pytest.mark.parametrize("engine", ["redis", "clickhouse", "postgres"])
def test_a_stream_outlives_an_outage(engine: str, world: World, readers: Readers, pair: Pair, stack: Stack) -> None:
    author, reader = pair
    stream = readers.holding(reader)
    stack.engine(engine).kill()
    try:
        stream.wait_beats(6)
        # Whoever comes meanwhile is let in: a token asks nobody.
        late = readers.open(reader)
        assert late.status == 200
        late.wait_beats()
    finally:
        stack.engine(engine).start()
        # This process's own, which other tests would find dead.
        connection.close()
        connection.close_pool()
    assert stream.ended_well is None
    world.reconnect()
    world.post(author)
    stream.wait_count(1)
    late.wait_ready()


def test_sessions_that_a_frozen_postgresql_does_not_know_keep_nobody_else_out(
    readers: Readers, pair: Pair, stack: Stack
) -> None:
    """Anybody may knock with the cookie of a session that is none: each waits in one of the few threads that let in."""
    _, reader = pair
    forged = {"Cookie": f"sessionid={'f' * 32}"}
    assert readers.at("/api/feed/stream", forged).status == 401
    thaw = threading.Timer(25, stack.engine("postgres").thaw)
    with ThreadPoolExecutor(64) as crowd:
        stack.engine("postgres").freeze()
        thaw.start()
        try:
            for _ in range(64):
                crowd.submit(readers.at, "/api/feed/stream", forged)
            time.sleep(1)
            assert readers.open(reader).status == 200
            assert thaw.is_alive()
        finally:
            thaw.cancel()
            stack.engine("postgres").thaw()


def test_without_redis_each_process_counts_and_tickets_wait(
    readers: Readers, api: Api, pair: Pair, stack: Stack
) -> None:
    _, reader = pair
    stack.engine("redis").kill()
    try:
        assert [readers.open(reader).status for _ in range(4)] == [200, 200, 200, 429]
        refused = api.post("/api/feed/stream/ticket", reader, None, as_viewer=True)
        assert (refused.status, refused.body["error"]) == (503, "unavailable")
        assert refused.headers["Retry-After"]
        assert readers.at("/api/feed/stream?ticket=any").status == 503
    finally:
        stack.engine("redis").start()


def test_a_stopped_process_ends_its_streams_and_they_go_on_at_the_next(
    apps: Apps, world: World, readers: Readers, pair: Pair
) -> None:
    author, reader = pair
    streams = [readers.holding(reader) for _ in range(3)]
    process = apps.process(STREAM)
    process.stop()
    wait_until(lambda: all(stream.ended_well is not None for stream in streams), "the end of the streams")
    assert all(stream.ended_well for stream in streams)
    assert "Killing worker" not in process.last_words()
    world.post(author)
    apps.restart(STREAM)
    # Their places were left, not lost: all three are free at once.
    again = [readers.open(reader, last=stream.last_id) for stream in streams]
    assert [stream.status for stream in again] == [200, 200, 200]
    for stream in again:
        stream.wait_count(1)


def test_nothing_is_left_of_many_readers_who_went_away(
    apps: Apps, readers: Readers, metric: Callable[[str], float], pair: Pair
) -> None:
    first = readers.open(pair[1])
    first.wait_ready()
    before = _held(apps)
    opened, members = metric("nova_stream_answers_total"), [uuid4() for _ in range(MANY)]
    streams = [readers.open(member) for member in members]
    assert {stream.status for stream in streams} == {200}
    wait_until(lambda: metric("nova_stream_open") == MANY + 1, "all of them in the metrics")
    assert metric("nova_stream_answers_total") == opened + MANY
    for stream in streams:
        stream.close()
    wait_until(lambda: metric("nova_stream_open") == 1, "nobody but the first")
    wait_until(lambda: not placed(*members), "all places left")
    # Pools of threads and connections have grown to their bounds, which do not depend on how many readers there were.
    wait_until(lambda: _held(apps) < before + MANY // 2, f"less than a socket for each who left (before: {before})")
    first.wait_beats()


def _held(apps: Apps) -> int:
    """Sockets and threads of the process for streams."""
    total = 0
    for member in family(apps.process(STREAM).pid):
        root = Path(f"/proc/{member.pid}")
        links = [os.readlink(link) for link in (root / "fd").iterdir() if link.is_symlink()]
        total += sum(link.startswith("socket:") for link in links) + len(list((root / "task").iterdir()))
    return total


def placed(*members: UUID) -> int:
    """Of how many of these members places are taken."""
    return int(redis.cache().exists(*(f"streams:v1:{member}" for member in members)))


def test_a_full_process_takes_nobody_until_a_stream_has_ended_by_its_age(api: Api) -> None:
    folder = ROOT / os.environ.get("NOVA_VAR", "var-test") / "streams-few"
    few = {"STREAMS_PER_PROCESS": "1", "STREAM_SECONDS": "10", "STREAM_LEASE_SECONDS": str(LEASE_SECONDS)}
    members = [uuid4() for _ in range(20)]
    with running_apps(os.environ, folder, [STREAM], overrides=OVERRIDES | few) as process:
        readers = Readers(process, api)
        # They knock while it sleeps, so it meets them at once: all find room before one of them has come in.
        process.process(STREAM).freeze()
        with ThreadPoolExecutor(len(members)) as threads:
            opening = threads.map(readers.open, members)
            time.sleep(1)
            process.process(STREAM).thaw()
            streams = dict(zip(members, opening, strict=True))
        (opened,) = (member for member in members if streams[member].status == 200)
        others = [member for member in members if member != opened]
        for member in others:
            full = streams[member].answer()
            assert (full.status, full.body["error"]) == (503, "unavailable")
            assert full.headers["Retry-After"]
        wait_until(lambda: not placed(*others), "the places of the others given back")
        assert placed(opened)
        # So that its reader is asked again who they are.
        wait_until(lambda: streams[opened].ended_well is not None, "the end of the stream")
        assert streams[opened].ended_well
        wait_until(lambda: readers.open(uuid4()).status == 200, "room for the next")
        readers.close()


@pytest.fixture
def _fresh_hub() -> Iterator[None]:
    hub.cache_clear()
    yield
    hub.cache_clear()


@pytest.mark.usefixtures("_fresh_hub")
def test_a_call_that_is_cancelled_while_it_is_let_in_holds_no_place(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STREAM_LEASE_SECONDS = LEASE_SECONDS
    member, take = uuid4(), places.take
    asked, go_on, taken = threading.Event(), threading.Event(), threading.Event()

    def slowly(viewer: UUID, place: str) -> bool:
        asked.set()
        go_on.wait(60)
        found = take(viewer, place)
        assert placed(member)
        taken.set()
        return found

    monkeypatch.setattr(places, "take", slowly)

    async def play() -> None:
        opening = asyncio.create_task(_opened(member))
        await asyncio.to_thread(asked.wait, 60)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        go_on.set()
        await asyncio.to_thread(taken.wait, 60)
        await asyncio.to_thread(wait_until, lambda: not placed(member), "the place given back")

    asyncio.run(play())
    assert taken.is_set()


@pytest.mark.usefixtures("_fresh_hub")
def test_without_redis_those_who_knock_together_get_no_more_than_their_places(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    places_of_one = settings.STREAMS_PER_VIEWER
    member, knocked = uuid4(), threading.Barrier(places_of_one + 2)
    statuses: list[int] = []

    def away(*_: Any) -> bool:
        knocked.wait(60)
        raise NoConnection("Redis is away")

    def unseen(*_: Any) -> list[bytes]:
        raise NoConnection("Redis is away")

    monkeypatch.setattr(places, "take", away)
    monkeypatch.setattr(pipeline, "marks", unseen)

    async def note(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def play() -> None:
        opening = [asyncio.create_task(_opened(member, note)) for _ in range(knocked.parties)]
        async with asyncio.timeout(60):
            while len(statuses) < len(opening):
                await asyncio.sleep(0.05)
        hub().end()
        await asyncio.gather(*opening)

    asyncio.run(play())
    assert sorted(statuses) == [200] * places_of_one + [429] * 2


async def _nothing(*_: Any) -> dict[str, Any]:
    return {}


async def _opened(member: UUID, send: Callable[..., Any] = _nothing) -> None:
    """A stream of this member in this process."""
    token = Api("", os.environ["JWT_SECRET"]).token(member)
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/api/feed/stream", "query_string": b"", "headers": headers}

    await Streams(_nothing)(scope, _nothing, send)
