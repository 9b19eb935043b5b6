"""One open stream, with looks that end when the test says so."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from feed.stream import reader as module
from feed.stream.protocol import Told
from feed.stream.reader import Reader
from nova.errors import Transient
from ranking.pipeline import Changes

A, B, C = "0" * 19 + "a", "0" * 19 + "b", "0" * 19 + "c"


class Open:
    """A stream in the hands of a test: what was sent, and the looks it began."""

    def __init__(self, told: Told, sees: bool) -> None:
        self.sent: list[str] = []
        self.looks: list[asyncio.Future[Changes]] = []
        self.sees = sees
        self.reader = Reader(uuid4(), "", told, self._look)
        self._task = asyncio.create_task(self.reader.run(self._send))

    def _look(self, viewer: UUID, since: str) -> "asyncio.Future[Changes] | None":
        if not self.sees:
            return None
        self.looks.append(asyncio.get_running_loop().create_future())
        return self.looks[-1]

    async def _send(self, chunk: bytes) -> None:
        self.sent += [block for block in chunk.decode().split("\n\n") if block]

    async def wait(self, seen: Callable[[], object]) -> None:
        while not seen():
            assert not self._task.done(), "the stream has ended"
            await asyncio.sleep(0.001)

    async def next_look(self) -> "asyncio.Future[Changes]":
        begun = len(self.looks)
        await self.wait(lambda: len(self.looks) > begun or any(not look.done() for look in self.looks))
        return self.looks[-1]

    @property
    def beats(self) -> int:
        return sum(block.startswith(":") for block in self.sent)

    async def end(self) -> None:
        self.reader.close()
        await self._task


def during(told: Told, story: Callable[[Open], Awaitable[None]], *, sees: bool = True) -> Open:
    """Run a story with an open stream, and close it. A story that never ends fails. sees: whether looks have sense."""

    async def play() -> Open:
        stream = Open(told, sees)
        try:
            await asyncio.wait_for(story(stream), 20)
        finally:
            with suppress(asyncio.CancelledError):
                await stream.end()
        return stream

    return asyncio.run(play())


@pytest.fixture(autouse=True)
def _quick(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STREAM_HEARTBEAT_SECONDS = 0.01
    settings.SNAPSHOT_SOFT_SECONDS = 3600
    monkeypatch.setattr(module, "_AGAIN_SECONDS", (0.0, 0.0))


def test_it_begins_with_where_the_feed_stands_and_then_tells_what_changes() -> None:
    async def story(stream: Open) -> None:
        (await stream.next_look()).set_result(Changes(A, 0))
        await stream.wait(lambda: f"id: {A}.{A}.0" in stream.sent)
        stream.reader.notify()
        (await stream.next_look()).set_result(Changes(B, 2))
        await stream.wait(lambda: f'event: new_posts\nid: {A}.{B}.2\ndata: {{"count":2}}' in stream.sent)

    stream = during(Told(), story)
    assert stream.sent[0].startswith("retry: ")


def test_only_the_first_look_says_something_when_it_finds_nothing() -> None:
    async def story(stream: Open) -> None:
        for _ in range(2):
            stream.reader.notify()
            (await stream.next_look()).set_result(Changes(A, 0))
        await stream.wait(lambda: stream.beats > 2)

    stream = during(Told.holding(A), story)
    assert [block for block in stream.sent[1:] if not block.startswith(":")] == [f"id: {A}.{A}.0"]


def test_it_beats_while_a_look_hangs() -> None:
    async def story(stream: Open) -> None:
        await stream.next_look()
        await stream.wait(lambda: stream.beats > 3)

    stream = during(Told.holding(A), story)
    assert stream.looks[0].cancelled()


def test_a_change_during_a_look_is_looked_at_again() -> None:
    async def story(stream: Open) -> None:
        first = await stream.next_look()
        stream.reader.notify()
        first.set_result(Changes(B, 1))
        await stream.wait(lambda: len(stream.looks) == 2)
        stream.looks[1].set_result(Changes(C, 2))
        await stream.wait(lambda: any(f"{A}.{C}.2" in block for block in stream.sent))

    during(Told.holding(A), story)


def test_a_change_during_a_look_that_hangs_is_no_reason_to_hurry(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STREAM_HEARTBEAT_SECONDS = 3600
    sleep, sleeps = Reader._sleep, list[float]()

    async def counted(reader: Reader, seconds: float) -> None:
        sleeps.append(seconds)
        await sleep(reader, seconds)

    monkeypatch.setattr(Reader, "_sleep", counted)

    async def story(stream: Open) -> None:
        await stream.next_look()
        stream.reader.notify()
        for _ in range(200):
            await asyncio.sleep(0)

    during(Told.holding(A), story)
    # Until the look ends, and once more for the change.
    assert len(sleeps) <= 3


def test_a_look_that_fails_is_made_again() -> None:
    async def story(stream: Open) -> None:
        (await stream.next_look()).set_exception(Transient("nothing answers"))
        await stream.wait(lambda: len(stream.looks) == 2)
        stream.looks[1].set_result(Changes(B, 1))
        await stream.wait(lambda: any("new_posts" in block for block in stream.sent))

    during(Told.holding(A), story)


def test_what_could_not_be_looked_at_is_looked_at_when_it_can() -> None:
    async def story(stream: Open) -> None:
        await stream.wait(lambda: stream.beats > 2)
        assert stream.looks == []
        stream.sees = True
        stream.reader.notify()
        (await stream.next_look()).set_result(Changes(B, 1))
        await stream.wait(lambda: any("new_posts" in block for block in stream.sent))

    during(Told.holding(A), story, sees=False)


def test_it_ends_by_its_age(settings: Any) -> None:
    settings.STREAM_SECONDS = 0.05

    async def run() -> list[bytes]:
        sent: list[bytes] = []

        async def send(chunk: bytes) -> None:
            sent.append(chunk)

        await asyncio.wait_for(Reader(uuid4(), "", Told(), lambda viewer, since: None).run(send), 20)
        return sent

    assert asyncio.run(run())
