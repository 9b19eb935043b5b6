"""The open streams of a process, and the one loop that looks whether the feeds of their viewers may have changed.

It asks Redis at short intervals for the marks of all viewers in one round trip. A notice (publish and subscribe) would
come a moment sooner, but one that is lost with a connection is lost for good; a mark is there to be read afterwards.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache as once
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from feed.stream import places
from feed.stream.reader import Reader
from nova import metrics
from ranking import pipeline
from ranking.pipeline import Changes

log = logging.getLogger(__name__)


class Hub:
    """Belongs to one event loop; its methods are called there. What blocks is done in threads."""

    def __init__(self) -> None:
        self._readers: dict[UUID, set[Reader]] = defaultdict(set)
        self._marks: dict[UUID, bytes] = {}
        self._watching: asyncio.Task[None] | None = None
        # Whether Redis answered the last time: not known before the first.
        self._sees = False
        self.ending = False
        # One thread, so that places are held and left in the order in which that was asked.
        self._upkeep = ThreadPoolExecutor(1, thread_name_prefix="stream-upkeep")
        self._rankers = ThreadPoolExecutor(settings.STREAM_THREADS, thread_name_prefix="stream-look")

    def __len__(self) -> int:
        return sum(map(len, self._readers.values()))

    def places_of(self, viewer: UUID) -> int:
        """How many places the viewer's streams of this process take; those of services take none."""
        return sum(bool(reader.place) for reader in self._readers.get(viewer, ()))

    def enter(self, reader: Reader) -> None:
        """Tell this reader of changes from now on."""
        self._readers[reader.viewer].add(reader)
        metrics.STREAM_OPEN.set(len(self))
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    def leave(self, reader: Reader) -> None:
        """Forget a reader and give their place back."""
        self._readers[reader.viewer].discard(reader)
        if not self._readers[reader.viewer]:
            del self._readers[reader.viewer]
            self._marks.pop(reader.viewer, None)
        metrics.STREAM_OPEN.set(len(self))
        self.give_back(reader.viewer, reader.place)

    def give_back(self, viewer: UUID, place: str) -> None:
        """Free a viewer's place; nothing for "", which is none."""
        if place:
            self._later(places.leave, viewer, place)

    def end(self) -> None:
        """Close every stream and take no more."""
        self.ending = True
        self._notify_all(Reader.close)

    def look(self, viewer: UUID, since: str, algo: str | None = None) -> "asyncio.Future[Changes] | None":
        """A reader's `Look`: in a thread. None while Redis is away, when each look would rank a feed in vain. algo: of
        the feed that the reader reads, None for the viewer's own."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._rankers, _changes, viewer, since, algo) if self._sees else None

    def _later(self, do: Callable[..., None], *arguments: Any) -> "asyncio.Future[None]":
        def done() -> None:
            try:
                do(*arguments)
            except RedisError as error:
                log.info("the places of streams could not be kept: %s", error)

        return asyncio.get_running_loop().run_in_executor(self._upkeep, done)

    def _notify_all(self, what: Callable[[Reader], None] = Reader.notify) -> None:
        for readers in list(self._readers.values()):
            for reader in list(readers):
                what(reader)

    async def _watch(self) -> None:
        """Look for changes and hold the places, as long as anybody is here."""
        loop, hold_at = asyncio.get_running_loop(), 0.0
        while self._readers:
            viewers = list(self._readers)
            try:
                self._compare(viewers, await loop.run_in_executor(self._upkeep, pipeline.marks, viewers))
            except RedisError as error:
                if self._sees:
                    log.warning("streams only beat while Redis does not answer: %s", error)
                self._sees = False
            except Exception:
                # Else one fault would leave everybody here without news, and their places to end.
                log.exception("a look at all feeds failed; the next one is made all the same")
            if monotonic() >= hold_at:
                hold_at = monotonic() + settings.STREAM_LEASE_SECONDS / 3
                held = [(one.viewer, one.place) for some in self._readers.values() for one in some if one.place]
                self._later(places.hold, held)
            await asyncio.sleep(settings.STREAM_POLL_SECONDS)

    def _compare(self, viewers: list[UUID], marks: list[bytes]) -> None:
        if not self._sees:
            self._sees = True
            self._notify_all()
        for viewer, mark in zip(viewers, marks, strict=True):
            # Who came a moment ago has no mark yet: what changed since their first look must not be missed.
            if viewer in self._readers and self._marks.get(viewer) != mark:
                self._marks[viewer] = mark
                for reader in self._readers[viewer]:
                    reader.notify()


@once
def hub() -> Hub:
    """This process's own."""
    return Hub()


def _changes(viewer: UUID, since: str, algo: str | None) -> Changes:
    try:
        return pipeline.changes(viewer, since, algo)
    finally:
        connection.close()
