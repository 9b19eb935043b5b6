"""Captured Debezium messages, by what was done to the tables (fixtures/README.md)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion import envelope
from ingestion.decoders import ROWS, Decoded

UNAVAILABLE = "__unavailable__"
_ALL: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "fixtures" / "debezium.json").read_text())


@dataclass(frozen=True)
class Captured:
    """A message as a consumer gets it."""

    topic_: str
    key_: bytes | None
    value_: bytes | None
    offset_: int = 0

    def value(self) -> bytes | None:
        return self.value_

    def key(self) -> bytes | None:
        return self.key_

    def topic(self) -> str:
        return self.topic_

    def offset(self) -> int:
        return self.offset_

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_795_000_000_000)


def messages(name: str) -> list[Captured]:
    return [
        Captured(one["topic"], one["key"] and one["key"].encode(), one["value"] and one["value"].encode(), position)
        for position, one in enumerate(_ALL[name])
    ]


def changes(name: str) -> list[envelope.Change]:
    """The changes among the messages, without tombstones."""
    parsed = [envelope.parse(message.value(), unavailable=UNAVAILABLE) for message in messages(name)]
    return [change for change in parsed if change]


def decoded(name: str, position: int = 0, epoch: int = 0) -> Decoded:
    change = changes(name)[position]
    return ROWS[change.table].from_change(change, epoch=epoch)


NAMES = sorted(_ALL)
