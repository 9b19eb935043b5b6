"""What a stream says, and the ids by which a reader who comes back is told what changed meanwhile. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Any, Self

from nova.rest import to_json

SNAPSHOT_REPLACED, NEW_POSTS = "snapshot_replaced", "new_posts"
# A comment: it reaches no one, but what stands between us and the reader sees that the connection is used.
HEARTBEAT = b": still here\n\n"
_ID = re.compile(r"([0-9a-f]{20})\.([0-9a-f]{20})\.([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader knows. since: the snapshot they hold ("": none known yet); snapshot: the newest they were told of;
    count: how many posts it has that theirs has not."""

    since: str = ""
    snapshot: str = ""
    count: int = 0

    @classmethod
    def holding(cls, snapshot: str) -> Self:
        """A reader who has just read this snapshot, or none ("")."""
        return cls(snapshot, snapshot)

    @classmethod
    def of_id(cls, text: str) -> Self | None:
        """A reader who comes back with the id of the last event they got; None when it is none of ours."""
        match = _ID.fullmatch(text)
        return cls(match[1], match[2], int(match[3])) if match else None

    @property
    def id(self) -> str:
        return f"{self.since}.{self.snapshot}.{self.count}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `told` is what the reader knows once they have it."""

    name: str
    data: dict[str, Any]
    told: Told

    def encode(self) -> bytes:
        return b"event: %b\nid: %b\ndata: %b\n\n" % (self.name.encode(), self.told.id.encode(), to_json(self.data))


def news(told: Told, snapshot: str, newer: int) -> list[Event]:
    """What to tell a reader whose feed is now `snapshot`, with `newer` posts that the one they hold has not.

    Each event's id says what is known after it, so that one which is lost on its way is told again.
    """
    events = []
    if snapshot != told.snapshot:
        told = replace(told, snapshot=snapshot)
        events.append(Event(SNAPSHOT_REPLACED, {"snapshot": snapshot}, told))
    if newer != told.count:
        told = replace(told, count=newer)
        events.append(Event(NEW_POSTS, {"count": newer}, told))
    return events


def greeting(retry_seconds: float) -> bytes:
    """The first words: how long to wait before coming back after the connection was lost."""
    return b"retry: %d\n\n" % round(retry_seconds * 1000)


def mark(told: Told) -> bytes:
    """An id without an event: what is known so far, should the connection be lost before the first event."""
    return b"id: %b\n\n" % told.id.encode()
