"""The loop that looks for changes, with a Redis that answers what the test says."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from feed.stream.hub import Hub
from feed.stream.protocol import Told
from feed.stream.reader import Reader
from ranking import pipeline


def test_a_round_that_fails_is_not_the_last(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STREAM_POLL_SECONDS = 0.001
    rounds, notified = 0, asyncio.Event()

    def marks(viewers: Sequence[UUID]) -> list[bytes]:
        nonlocal rounds
        rounds += 1
        if rounds <= 2:
            raise ValueError("a fault of ours")
        return [b"changed"] * len(viewers)

    monkeypatch.setattr(pipeline, "marks", marks)
    monkeypatch.setattr(Reader, "notify", lambda _: notified.set())

    async def play() -> None:
        hub = Hub()
        reader = Reader(uuid4(), "", Told(), hub.look)
        hub.enter(reader)
        await asyncio.wait_for(notified.wait(), 20)
        hub.leave(reader)

    asyncio.run(play())
