"""Decoded messages of one partition: what is valid by columns, what is not with its reason.

A decoded event takes a fraction of the memory that its message takes, so messages are decoded while their batch still
collects, and batches can be large.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from confluent_kafka import Message

from ingestion import columns
from ingestion.columns import Columns, Int64s
from ingestion.errors import InvalidMessage
from nova.kafka import offset_of


@dataclass(frozen=True)
class Digest:
    """offsets: of all messages, ascending; events: the valid ones; failed: the others, as they came.

    stamp: Kafka's time of the first message (ms).
    """

    offsets: Int64s
    events: Columns
    failed: list[tuple[Message, InvalidMessage]]
    stamp: int = -1

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def hi(self) -> int:
        """The last offset. There must be one."""
        return int(self.offsets[-1])

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        failed = sum(len(message) + 500 for message, _ in self.failed)
        return int(self.events.table.nbytes) + self.offsets.nbytes + failed

    @property
    def failed_at(self) -> list[int]:
        """The positions of the failed ones among all."""
        found = np.searchsorted(self.offsets, [offset_of(message) for message, _ in self.failed])
        return [int(position) for position in found]

    def within(self, lo: int, hi: int) -> "Digest":
        """Only what lies from `lo` to `hi`, both included."""
        if not len(self) or (lo <= self.offsets[0] and self.hi <= hi):
            return self
        return Digest(
            self.offsets[(lo <= self.offsets) & (self.offsets <= hi)],
            self.events.where((lo <= self.events.offsets) & (self.events.offsets <= hi)),
            [(message, error) for message, error in self.failed if lo <= offset_of(message) <= hi],
            self.stamp,
        )


def digest(items: Sequence[Message | Digest]) -> Digest:
    """Everything in one: messages are decoded, what is decoded already is taken as it is. Offsets must ascend."""
    parts: list[Digest] = []
    loose: list[Message] = []
    for item in items:
        if isinstance(item, Digest):
            if loose:
                parts.append(_read(loose))
                loose = []
            if len(item):
                parts.append(item)
        else:
            loose.append(item)
    if loose or not parts:
        parts.append(_read(loose))
    if len(parts) == 1:
        return parts[0]
    return Digest(
        np.concatenate([part.offsets for part in parts]),
        columns.joined([part.events for part in parts]),
        [failure for part in parts for failure in part.failed],
        parts[0].stamp,
    )


def last_offset(items: Sequence[Message | Digest]) -> int:
    """Of the last message; −1 for none."""
    if not items:
        return -1
    last = items[-1]
    return last.hi if isinstance(last, Digest) else offset_of(last)


def _read(messages: list[Message]) -> Digest:
    # Once for each message: `map` over the bare methods takes half of what a loop would.
    offsets = np.fromiter(map(Message.offset, messages), np.int64, len(messages))
    stamps = np.fromiter(map(itemgetter(1), map(Message.timestamp, messages)), np.int64, len(messages))
    read = columns.read(list(map(Message.value, messages)), offsets, stamps)
    failed = [(messages[position], error) for position, error in read.failed]
    return Digest(offsets, read.columns, failed, int(stamps[0]) if messages else -1)
