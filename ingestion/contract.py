"""The event: one shape and one set of rules for the API that takes it in and the consumer that stores it.

In Kafka an event is one line of JSON with every field present (`Event.line`), keyed by the bytes of its user_id.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from ingestion.errors import InvalidMessage

CLIENT_ACTIONS: Final = frozenset({"impression", "view", "click", "like", "comment", "share"})
# A reaction that was taken back. Nobody's app may say so: it follows from the table, or from a trusted service.
TAKEN_BACK: Final = frozenset({"unlike", "uncomment"})
ACTIONS: Final = CLIENT_ACTIONS | TAKEN_BACK
SOURCES: Final = frozenset({"client", "table", "service"})
DEVICES: Final = frozenset({"", "ios", "android", "web"})
MOST_DWELL_MS: Final = 86_400_000
LONGEST_APP_VER: Final = 32
AHEAD: Final = timedelta(minutes=5)
# How old an event may be by its source: what comes from a table is repeated by a backfill, as far as affinity reaches.
BEHIND: Final = {"client": timedelta(days=30), "service": timedelta(days=30), "table": timedelta(days=90)}
# An event is judged when it is accepted, and again by its time in Kafka, which may be so much later.
UNDER_WAY: Final = timedelta(minutes=10)
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2099

# Why a message can be invalid, in a word.
REASONS: Final = {
    "no_value": "the message has no value",
    "not_json": "the value is no JSON",
    "schema": "a field is missing or has another type or value",
    "too_old": "the event is older than its source may send",
    "in_future": "the event lies in the future",
    "action": "the source may not send this action",
}

NOBODY: Final = UUID(int=0)
_TABLE_EVENTS: Final = UUID("7d1f0a52-9c0e-5f0b-8a55-3b6a5d0f6e21")

_Uuid = UUID
_Time = Annotated[datetime, Meta(tz=True)]
_Dwell = Annotated[int, Meta(ge=0, le=MOST_DWELL_MS)]
_AppVer = Annotated[str, Meta(max_length=LONGEST_APP_VER)]
T = TypeVar("T")


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a client sends it. Fields that are not named here are ignored, `source` too."""

    event_id: _Uuid
    event_time: _Time
    user_id: _Uuid
    post_id: _Uuid
    author_id: _Uuid | None = None
    action: Literal["impression", "view", "click", "like", "unlike", "comment", "uncomment", "share"]
    dwell_ms: _Dwell | None = None
    device: Literal["ios", "android", "web", ""] | None = None
    app_ver: _AppVer | None = None


class Event(Submitted, frozen=True, kw_only=True):
    """An event as it stands in Kafka. `source`: client, table (a change in PostgreSQL), service (a trusted system)."""

    source: Literal["client", "table", "service"] = "client"

    def key(self) -> bytes:
        """The Kafka key: all events of a member lie in one partition, in order."""
        return self.user_id.bytes

    def line(self) -> bytes:
        """The event as one line of JSON: all fields, always in this order and this spelling."""
        return _encode(
            {
                "event_id": self.event_id,
                "event_time": self.event_time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
                + "Z",
                "user_id": self.user_id,
                "post_id": self.post_id,
                "author_id": self.author_id or NOBODY,
                "action": self.action,
                "source": self.source,
                "dwell_ms": self.dwell_ms or 0,
                "device": self.device or "",
                "app_ver": self.app_ver or "",
            }
        )


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Event)


def _explained(read: Callable[[], T]) -> T:
    """What `read` returns; what msgspec says against it as `InvalidMessage`."""
    try:
        return read()
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `")
        field = path.removeprefix("$").removeprefix(".").removesuffix("`")
        if "required field" in detail:
            field = detail.rpartition("field `")[2].removesuffix("`")
        raise InvalidMessage("schema", field, detail) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise InvalidMessage("not_json", "", str(error) or type(error).__name__) from None


def parse(value: bytes | None, at: datetime | None) -> Event:
    """The event in a Kafka message. at: the message's own time, since a repeat must be judged as the first time was.

    Raises `InvalidMessage`.
    """
    if value is None:
        raise InvalidMessage("no_value", "", "The message has no value")
    event = _explained(lambda: _decoder.decode(value))
    check(event, at, late=UNDER_WAY)
    return event


def submitted(item: Any) -> Submitted:
    """The event in one object of a request's body (already JSON-decoded), in its shape only: see `check`.

    Raises `InvalidMessage`.
    """
    return _explained(lambda: msgspec.convert(item, Submitted))


def check(event: Event, at: datetime | None, *, late: timedelta = timedelta()) -> None:
    """Judge what the shape alone cannot. at: the moment that ages are measured by, aware; None: no age limits. late:
    how much later that may be than the moment at which the event was accepted.

    Raises `InvalidMessage`.
    """
    # Control characters, and what UTF-8 cannot say: nothing after this could write it down.
    if event.app_ver and not event.app_ver.isprintable():
        raise InvalidMessage("schema", "app_ver", "Unprintable characters")
    if event.source == "client" and event.action in TAKEN_BACK:
        raise InvalidMessage("action", "action", f"A client may not send {event.action}")
    try:
        moment = event.event_time.astimezone(UTC)
    except OverflowError:
        raise InvalidMessage("schema", "event_time", "Outside of the calendar") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidMessage("schema", "event_time", f"The year is not within {FIRST_YEAR} to {LAST_YEAR}")
    if at is None:
        return
    if moment - at > AHEAD:
        raise InvalidMessage("in_future", "event_time", f"More than {AHEAD.seconds // 60} minutes ahead")
    if at - moment > BEHIND[event.source] + late:
        raise InvalidMessage("too_old", "event_time", f"More than {BEHIND[event.source].days} days ago")


def with_author(event: Event, author: UUID) -> Event:
    """The same event with its post's author."""
    return msgspec.structs.replace(event, author_id=author)


def table_event(
    *,
    table: str,
    row_id: UUID,
    deleted: bool,
    created_at: datetime,
    user_id: UUID,
    post_id: UUID,
    author_id: UUID,
    after: int | None = None,
) -> Event:
    """The event that a like or comment in PostgreSQL counts as; table: `likes` or `comments`.

    Its id follows from the row and from what happened to it, the same for a snapshot row as for its creation, so that
    no change counts twice. A deletion has the time of the creation: it subtracts from the same hour and day.
    after: how many events of it are known, for one that counts beside those (ingestion/recount.py).
    """
    done, undone = {"likes": ("like", "unlike"), "comments": ("comment", "uncomment")}[table]
    beside = "" if after is None else f":{after}"
    return Event(
        event_id=uuid5(_TABLE_EVENTS, f"{table}:{row_id}:{'delete' if deleted else 'create'}{beside}"),
        event_time=created_at,
        user_id=user_id,
        post_id=post_id,
        author_id=author_id,
        action=undone if deleted else done,  # type: ignore[arg-type]
        source="table",
    )
