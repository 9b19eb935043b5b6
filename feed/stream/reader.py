"""One open stream: it waits for a change, a heartbeat or its end, and sends what its reader does not know yet."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from random import uniform
from time import monotonic
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from feed.stream import protocol
from feed.stream.protocol import Told
from nova import metrics
from nova.errors import NovaError
from ranking.pipeline import Changes

log = logging.getLogger(__name__)

# Seconds after a look that failed. A part that has just come back should not meet all readers at once.
_AGAIN_SECONDS = (1.0, 3.0)

# Begins to find out what became of a viewer's feed since a snapshot; None while there is nothing to be found out.
Look = Callable[[UUID, str], "asyncio.Future[Changes] | None"]
Send = Callable[[bytes], Awaitable[None]]


class Reader:
    """A viewer's open stream. `place` names it among the viewer's, "" when it needs none.

    All of it happens in one event loop; only looks happen elsewhere, and heartbeats go on meanwhile.
    """

    def __init__(self, viewer: UUID, place: str, told: Told, look: Look) -> None:
        self.viewer, self.place = viewer, place
        self._told, self._look = told, look
        self._wake = asyncio.Event()
        self._looking: asyncio.Future[Changes] | None = None
        self._look_at = 0.0
        self._missed = False
        self._is_first = True
        self._closed = False

    def notify(self) -> None:
        """The viewer's feed may have changed."""
        if self._looking is None:
            self._look_at = min(self._look_at, monotonic())
        else:
            # What is being found out may be older than this change: the next look begins when this one has ended.
            self._missed = True
        self._wake.set()

    def close(self) -> None:
        """Let `run` return; safe to call twice."""
        self._closed = True
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send until the stream is closed or has lasted `STREAM_SECONDS`. Raises what `send` does."""
        began = monotonic()
        end = began + settings.STREAM_SECONDS * uniform(0.9, 1)
        heartbeat = began + settings.STREAM_HEARTBEAT_SECONDS
        try:
            # Scattered, so that those who lost the same process do not all come back in the same moment.
            await send(protocol.greeting(settings.STREAM_RETRY_SECONDS * uniform(0.5, 1.5)))
            while not self._closed and (now := monotonic()) < end:
                if self._looking is None and now >= self._look_at:
                    self._begin_look()
                await self._sleep(min(heartbeat, end, self._look_at) - now)
                said = self._news()
                if not said and monotonic() >= heartbeat:
                    said = protocol.HEARTBEAT
                if said and not self._closed:
                    await send(said)
                    heartbeat = monotonic() + settings.STREAM_HEARTBEAT_SECONDS
        finally:
            if self._looking is not None:
                self._looking.cancel()

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), max(0.0, seconds))
        except TimeoutError:
            return
        self._wake.clear()

    def _begin_look(self) -> None:
        self._look_at, self._missed = inf, False
        self._looking = self._look(self.viewer, self._told.since)
        if self._looking is not None:
            self._looking.add_done_callback(lambda _: self._wake.set())

    def _news(self) -> bytes:
        """What the look that has ended found, as it is sent; b"" when none has, or when it found nothing."""
        if self._looking is None or not self._looking.done():
            return b""
        looked, self._looking = self._looking, None
        try:
            found = looked.result()
        except (NovaError, DatabaseError) as error:
            log.info("a feed could not be looked at: %s", error)
            self._look_at = monotonic() + uniform(*_AGAIN_SECONDS)
            return b""
        # What nobody announces (more followers than are told, other posts trending) is seen by the feed's age.
        self._look_at = 0.0 if self._missed else monotonic() + settings.SNAPSHOT_SOFT_SECONDS
        return self._say(found)

    def _say(self, found: Changes) -> bytes:
        if not self._told.since:
            self._told = Told.holding(found.snapshot)
        events = protocol.news(self._told, found.snapshot, found.newer)
        for event in events:
            metrics.STREAM_EVENTS.labels(event.name).inc()
            self._told = event.told
        first, self._is_first = self._is_first, False
        # Whoever loses the connection before the first event should still know where they stood.
        return b"".join(event.encode() for event in events) or (protocol.mark(self._told) if first else b"")
