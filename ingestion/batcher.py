"""Collecting one partition's messages until a batch is large or old enough. Pure: the time is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import lt
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """What closes a batch: so many messages, so many bytes as they came, or so many seconds after its first message.

    apart: seconds at least between two batches that are not full. The more partitions are quiet, the longer each waits,
    and the fewer and larger are the inserts.
    """

    messages: int
    seconds: float
    size: int = 16_000_000
    apart: float = 0.0


@dataclass(frozen=True)
class _Condensed(Generic[T]):
    """What stands for `count` messages. came: bytes that they came in; size: bytes that it takes."""

    count: int
    came: int
    size: int
    item: T


class Batcher(Generic[T]):
    """Messages of one partition in the order of their offsets, cut into batches.

    next_offset: what comes before it was had already and is dropped. redo: the last offset of a batch that must come
    out first, exactly as it once was, whatever the bounds say. since: from when on the first that waits has waited.
    size: how many bytes the waiting ones take.
    """

    def __init__(self, bounds: Bounds, *, next_offset: int, redo: int | None = None) -> None:
        self.next_offset = next_offset
        self.size = 0
        self.since = 0.0
        self._bounds = bounds
        self._redo = redo
        # In the order of their offsets: first what was condensed, then single messages (offset, size, message).
        self._condensed: list[_Condensed[T]] = []
        self._loose: list[tuple[int, int, T]] = []
        self._count = 0
        self._came = 0

    def __len__(self) -> int:
        """How many messages wait."""
        return self._count

    def add(self, message: T, offset: int, size: int, now: float) -> None:
        """Keep a message of `size` bytes. Kafka may deliver one twice: the repeat is dropped. now: seconds."""
        if offset < self.next_offset:
            return
        if not self._count:
            self.since = now
        self._loose.append((offset, size, message))
        self.next_offset = offset + 1
        self.size += size
        self._came += size
        self._count += 1

    def extend(self, messages: Sequence[T], offsets: Sequence[int], sizes: Sequence[int], now: float) -> None:
        """`add` several at once."""
        if offsets[0] < self.next_offset or not all(map(lt, offsets, offsets[1:])):
            for message, offset, size in zip(messages, offsets, sizes, strict=True):
                self.add(message, offset, size, now)
            return
        if not self._count:
            self.since = now
        self._loose.extend(zip(offsets, sizes, messages, strict=True))
        self.next_offset = offsets[-1] + 1
        size = sum(sizes)
        self.size += size
        self._came += size
        self._count += len(messages)

    def condense(self, make: Callable[[list[T]], tuple[T, int]], least: int) -> None:
        """Once `least` single messages wait, put what `make` makes of them (and its bytes) in their place.

        Not before a batch that is redone is out, which ends where it once ended.
        """
        if len(self._loose) < least or self._redo is not None:
            return
        item, size = make([message for _, _, message in self._loose])
        came = sum(size for _, size, _ in self._loose)
        self._condensed.append(_Condensed(len(self._loose), came, size, item))
        self.size += size - came
        self._loose = []

    @property
    def most(self) -> int:
        """How many messages make a batch full, whatever their size."""
        return self._bounds.messages

    @property
    def full(self) -> bool:
        """Is there enough for a whole batch?"""
        return self._count >= self._bounds.messages or self._came >= self._bounds.size

    def due(self, now: float) -> bool:
        """Is there a batch to take?"""
        if self._redo is not None:
            return self.next_offset > self._redo
        return bool(self._count) and (self.full or now - self.since >= self._bounds.seconds)

    def take(self, now: float) -> list[T]:
        """Remove and return the next batch: what the bounds allow (at least one item), or just what is redone."""
        large, small = self._fitting() if self._redo is None else (0, self._upto(self._redo))
        self._redo = None
        condensed, self._condensed = self._condensed[:large], self._condensed[large:]
        loose, self._loose = self._loose[:small], self._loose[small:]
        came = sum(size for _, size, _ in loose)
        self.size -= came + sum(several.size for several in condensed)
        self._came -= came + sum(several.came for several in condensed)
        self._count -= len(loose) + sum(several.count for several in condensed)
        self.since = now
        return [several.item for several in condensed] + [message for _, _, message in loose]

    def drop(self) -> None:
        """Forget what waits: the partition is no longer ours."""
        self._condensed, self._loose = [], []
        self.size = self._came = self._count = 0

    def _upto(self, last: int) -> int:
        return sum(offset <= last for offset, _, _ in self._loose)

    def _fitting(self) -> tuple[int, int]:
        """How much of what was condensed, and how many single messages, make a batch."""
        if self._count <= self._bounds.messages and self._came <= self._bounds.size:
            return len(self._condensed), len(self._loose)
        messages = came = 0
        for place, several in enumerate(self._condensed):
            messages += several.count
            came += several.came
            if place and (messages > self._bounds.messages or came > self._bounds.size):
                return place, 0
        for place, (_, size, _) in enumerate(self._loose):
            messages += 1
            came += size
            if messages > 1 and (messages > self._bounds.messages or came > self._bounds.size):
                return len(self._condensed), place
        return len(self._condensed), len(self._loose)
