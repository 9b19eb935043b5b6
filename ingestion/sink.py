"""What a consumer's runtime asks of the place where its messages go."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from confluent_kafka import Message

from ingestion.ledger import Partition, Pending


class Sink(Protocol):
    """Where messages go. Called from worker threads, for one partition by one thread at a time.

    `redo` and `flush` return when everything up to the last message is durable and `part.next_offset` lies behind it
    (they call `ledger.advance`, or `ledger.before` and `ledger.after`). They raise `Transient` (called again with the
    same messages, of which those before `part.next_offset` are done already; `part.memo` is kept between the tries),
    `Fenced` (the partition is given up) or `Halt` (the process ends with its exit code). Any other exception ends the
    process with code 1.
    """

    # The consumer group, and the name in the ledger and in metrics.
    name: str
    topics: Sequence[str]

    def prepare(self) -> None:
        """Before the first message: check what must hold. Raises `Halt`, or `Transient` to be called again."""

    def redo(self, part: Partition, pending: Pending, messages: list[Message]) -> None:
        """Finish a batch that may be half inserted. messages: what Kafka holds of lo..hi, read again."""

    def flush(self, part: Partition, messages: list[Any]) -> None:
        """Store one batch: messages of one partition, offsets ascending without repeats, perhaps with gaps.

        From a sink that `Condenses`, what it made may stand for some of them.
        """


class Condensed(Protocol):
    """Several messages in one. stamp: Kafka's time of the first one, in ms."""

    stamp: int


@runtime_checkable
class Condenses(Protocol):
    """A sink whose messages can wait in less memory than they came in."""

    def condense(self, messages: list[Message]) -> tuple[Condensed, int]:
        """What stands for these messages, and how many bytes it takes. Called from the polling thread."""


def stamp_of(item: Message | Condensed) -> int:
    """Kafka's time of a message, or of the first of several, in ms."""
    return int(item.timestamp()[1]) if isinstance(item, Message) else item.stamp
