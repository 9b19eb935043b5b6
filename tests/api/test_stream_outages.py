"""Event streams while a part is down, while their process ends, and after many readers went away."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection

from embedded.process import family
from embedded.testing import Stack
from nova import redis
from tests.apps import ROOT, STREAM, Apps, running_apps
from tests.client import Api, wait_until
from tests.streams import OVERRIDES, Readers
from tests.world import World

pytest_plugins = ["tests.streams"]

Pair = tuple[UUID, UUID]
MANY = 200


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
    wait_until(lambda: not redis.cache().exists(*(f"streams:v1:{member}" for member in members)), "all places left")
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


def test_a_stream_ends_so_that_its_reader_is_asked_again_who_they_are(api: Api, pair: Pair) -> None:
    folder = ROOT / os.environ.get("NOVA_VAR", "var-test") / "streams-short"
    overrides = {**OVERRIDES, "STREAM_SECONDS": "2", "STREAMS_PER_PROCESS": "1"}
    with running_apps(os.environ, folder, [STREAM], overrides=overrides) as short:
        readers = Readers(short, api)
        stream = readers.open(pair[1])
        assert stream.status == 200
        full = readers.open(uuid4()).answer()
        assert (full.status, full.body["error"]) == (503, "unavailable")
        assert full.headers["Retry-After"]
        wait_until(lambda: stream.ended_well is not None, "the end of the stream")
        assert stream.ended_well
        wait_until(lambda: readers.open(pair[1]).status == 200, "room for the next")
        readers.close()
