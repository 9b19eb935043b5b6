"""Whose turn it is: from which partitions is read now, so that batches are large and memory is bounded."""

from collections.abc import Collection, Sequence

from confluent_kafka import Consumer, TopicPartition

from ingestion.flushing import Held

STUCK_SECONDS = 1.0
# One fills while the other waits for a worker.
_DEEP_AT_ONCE = 2


def resting(partitions: Collection[Held], now: float) -> list[Held]:
    """The partitions from which nothing is fetched for the moment. now: seconds, monotonic.

    - Stuck ones: a batch is tried again and again, and the next one is full already.
    - All but two of the deep ones, for which large batches wait in Kafka. Memory bounds what waits here: read side by
      side, a dozen partitions would share that room, and no batch would ever be large.
    """
    stuck = [held for held in partitions if _stuck(held, now)]
    deep = [held for held in partitions if held not in stuck and _deep(held)]
    # The one that has the most goes on until it is full; of the empty ones, the one that was taken longest ago.
    deep.sort(key=lambda held: (held.batcher.full, -len(held.batcher), held.batcher.since))
    return stuck + deep[_DEEP_AT_ONCE:]


def _stuck(held: Held, now: float) -> bool:
    return bool(held.flying and now - held.flying_since > STUCK_SECONDS and held.batcher.full)


def filling(held: Held) -> bool:
    """Is a batch to be expected that is much larger than what is here?"""
    return not held.batcher.full and _deep(held)


def _deep(held: Held) -> bool:
    """Does more wait in Kafka, half a batch at least with what is here? By what was last heard of its end."""
    left = held.part.high_watermark - held.batcher.next_offset
    return held.pending is None and left > 0 and left + len(held.batcher) >= held.batcher.most // 2


def give(client: Consumer, partitions: Collection[Held], rest: Sequence[Held]) -> None:
    """Let the client read all partitions but those that `rest`. Pausing throws away what was fetched ahead."""
    if pausing := [held for held in rest if not held.paused]:
        client.pause(_places(pausing))
    if resuming := [held for held in partitions if held.paused and held not in rest]:
        client.resume(_places(resuming))
    for held in (*pausing, *resuming):
        held.paused = not held.paused


def _places(which: Collection[Held]) -> list[TopicPartition]:
    return [TopicPartition(held.part.topic, held.part.partition) for held in which]
