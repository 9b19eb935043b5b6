"""Batches as Kafka would hand them to a sink, made by hand."""

import time
from collections.abc import Sequence

import numpy as np
from confluent_kafka import Message

from ingestion import columns
from ingestion.contract import Event


class Died(BaseException):
    """Stands for kill -9."""


def messages(values: Sequence[bytes | None], first: int = 0) -> list[Message]:
    """Messages of events[0] with these values, at the offsets from `first` on."""
    stamp = (1, int(time.time() * 1000))
    return [
        Message(topic="events", partition=0, offset=first + place, key=b"k", value=value, timestamp=stamp, headers=[])
        for place, value in enumerate(values)
    ]


def lines(events: Sequence[Event]) -> list[bytes | None]:
    return [event.line() for event in events]


def read(batch: Sequence[Message]) -> columns.Columns:
    """The events of messages that are all valid, by column."""
    found = columns.read(
        [message.value() for message in batch],
        np.array([message.offset() for message in batch], np.int64),
        np.array([message.timestamp()[1] for message in batch], np.int64),
    )
    assert not found.failed
    return found.columns
