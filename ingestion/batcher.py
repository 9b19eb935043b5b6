"""Collecting one partition's messages until a batch is large or old enough. Pure: the time is passed in."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """What closes a batch: so many messages, so many bytes, or so many seconds after its first message came."""

    messages: int
    seconds: float
    size: int = 16_000_000


class Batcher(Generic[T]):
    """Messages of one partition in the order of their offsets, cut into batches.

    next_offset: what comes before it was had already and is dropped. redo: the last offset of a batch that must come
    out first, exactly as it once was, whatever the bounds say. since: from when on the first that waits has waited.
    """

    def __init__(self, bounds: Bounds, *, next_offset: int, redo: int | None = None) -> None:
        self.next_offset = next_offset
        self.size = 0
        self._bounds = bounds
        self._redo = redo
        self._waiting: list[tuple[int, int, T]] = []
        self.since = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: T, offset: int, size: int, now: float) -> None:
        """Keep a message of `size` bytes. Kafka may deliver one twice: the repeat is dropped. now: seconds."""
        if offset < self.next_offset:
            return
        if not self._waiting:
            self.since = now
        self._waiting.append((offset, size, message))
        self.next_offset = offset + 1
        self.size += size

    @property
    def most(self) -> int:
        """How many messages make a batch full, whatever their size."""
        return self._bounds.messages

    @property
    def full(self) -> bool:
        """Is there enough for a whole batch?"""
        return len(self._waiting) >= self._bounds.messages or self.size >= self._bounds.size

    def due(self, now: float) -> bool:
        """Is there a batch to take?"""
        if self._redo is not None:
            return self.next_offset > self._redo
        return bool(self._waiting) and (self.full or now - self.since >= self._bounds.seconds)

    def take(self, now: float) -> list[T]:
        """Remove and return the next batch: what the bounds allow (at least one message), or just what is redone."""
        count = self._upto(self._redo) if self._redo is not None else self._fitting()
        self._redo = None
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self.size -= sum(size for _, size, _ in batch)
        self.since = now
        return [message for _, _, message in batch]

    def drop(self) -> None:
        """Forget what waits: the partition is no longer ours."""
        self._waiting, self.size = [], 0

    def _upto(self, last: int) -> int:
        return sum(offset <= last for offset, _, _ in self._waiting)

    def _fitting(self) -> int:
        most = self._bounds.messages
        if self.size <= self._bounds.size:
            return most
        total = 0
        for count, (_, size, _) in enumerate(self._waiting[:most]):
            total += size
            if total > self._bounds.size and count:
                return count
        return most
