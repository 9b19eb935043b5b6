"""Do likes and comments count as often as they stand in PostgreSQL? Compared within ClickHouse, copies with events.

A reaction's event has an id that follows from its row, so that nothing counts twice. A row that was deleted and comes
again under the same id (PostgreSQL restored from a backup, TRUNCATE and COPY) repeats an id that is known, and stays
uncounted. What differs is told, and a repair evens it out with events whose ids say how many there were before: the
same one done twice counts once, the next one counts again.

Only days that are whole in `events` can be compared (30 days). The copies are compared with PostgreSQL elsewhere
(ingestion/reconcile.py): compare these first.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from ingestion import bulk, reactions
from ingestion.contract import Event, table_event
from ingestion.rebuild import first_whole_day
from ingestion.reconcile import EXIT_CLEAN, EXIT_DIFFERENT, EXIT_REPAIRED
from nova import clickhouse, clock

# Of each table, the oldest first; the next run finds the others.
MOST = 100_000
_LOOK_SECONDS = 1.0
_SECONDS = 120
_DONE = {"likes": ("like", "unlike"), "comments": ("comment", "uncomment")}
# Both sides as rows of one shape: a living row counts 1, each event what it adds.
_ROWS = """
SELECT user_id, post_id, created_at AS made, post_author_id AS author, id, 1 AS here, 0 AS counted
FROM {copy} FINAL WHERE created_at >= toDateTime64({first:Date}, 6, 'UTC') AND created_at <= {now:DateTime64(6, 'UTC')}
UNION ALL
SELECT user_id, post_id, event_time, author_id, event_id, 0, if(action = {done:String}, 1, -1)
FROM events
WHERE source = 'table' AND action IN ({done:String}, {undone:String})
    AND event_time >= toDateTime64({first:Date}, 6, 'UTC') AND event_time <= {now:DateTime64(6, 'UTC')}
"""
# Where an id stands already: by the moment as long as that is kept, by the day alone for longer.
_KNOWN = """
SELECT event_id, toDate(event_time), event_time FROM events WHERE event_id IN asked
UNION ALL SELECT event_id, day, NULL FROM event_ids WHERE event_id IN asked
"""
_DEAD = """
SELECT user_id, post_id, created_at, groupUniqArray(id) FROM {copy}
WHERE (user_id, post_id, created_at) IN (SELECT * FROM asked) GROUP BY user_id, post_id, created_at
"""
# Days alone first: they need no memory, and seldom differ.
_DAYS = """
SELECT toDate(made) AS day FROM ({rows})
GROUP BY day HAVING sum((here - counted) * reinterpretAsInt64(cityHash64(user_id, post_id, made))) != 0
"""
_REACTIONS = """
SELECT user_id, post_id, made, argMax(author, here), toInt64(sum(here)) AS standing, toInt64(sum(counted)) AS counts,
    groupArrayIf(id, here = 1), groupArrayIf(id, here = 0)
FROM ({rows}) WHERE toDate(made) IN {days:Array(Date)}
GROUP BY user_id, post_id, made HAVING standing != counts ORDER BY made LIMIT {most:UInt32}
"""


@dataclass(frozen=True)
class Miscount:
    """Reactions of a member to a post, of one moment, that do not count as often as they stand there.

    standing, counted: how often; rows: the ids of those that stand there; known: the ids of all events of them.
    """

    table: str
    user_id: UUID
    post_id: UUID
    author_id: UUID
    created_at: datetime
    standing: int
    counted: int
    rows: tuple[UUID, ...]
    known: tuple[UUID, ...]

    @property
    def key(self) -> tuple[UUID, UUID, datetime]:
        return self.user_id, self.post_id, self.created_at


@dataclass(frozen=True)
class Recount:
    """found: what differed, `MOST` of a table at most; left: what still does after the repair."""

    found: Sequence[Miscount] = ()
    left: Sequence[Miscount] = ()

    @property
    def exit_code(self) -> int:
        """As `reconcile.Report` has it."""
        if self.left:
            return EXIT_DIFFERENT
        return EXIT_REPAIRED if self.found else EXIT_CLEAN


def verify(tables: Sequence[str] | None = None, *, repair: bool = False, patience: float) -> Recount:
    """Compare what the likes and comments of whole days count, those of them that are among `tables` (None: both).

    repair: publish what evens out the differences; patience: seconds until what differs counts, and until what was
    published must have arrived. Raises a `nova.errors` class.
    """
    found = _settled(_look(tables), tables, patience)
    if not repair:
        return Recount(found, found)
    _put_right(found)
    return Recount(found, _settled(found, tables, patience))


def _settled(found: list[Miscount], tables: Sequence[str] | None, patience: float) -> list[Miscount]:
    """Those that stay as they are until patience is over."""
    deadline = time.monotonic() + patience
    while found and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = set(_look(tables))
        found = [one for one in found if one in now]
    return found


def _put_right(found: Sequence[Miscount]) -> None:
    """Safe to repeat, also before the first time has arrived."""
    for table in reactions.TABLES:
        some = [one for one in found if one.table == table]
        gone = _gone(table, [one for one in some if one.counted > one.standing])
        own = {one: _own(one, gone.get(one.key, ())) for one in some}
        taken = _elsewhere([event for events in own.values() for event in events])
        bulk.publish(event for one in some for event in _evening(one, [e for e in own[one] if e.event_id not in taken]))


def _look(tables: Sequence[str] | None) -> list[Miscount]:
    now = clock.now()
    return [one for table in reactions.TABLES if not tables or table in tables for one in _of(table, now)]


def _of(table: str, now: datetime) -> list[Miscount]:
    rows = _ROWS.replace("{copy}", f"{table}_cdc")
    done, undone = _DONE[table]
    moment, first = now.strftime("%Y-%m-%d %H:%M:%S.%f"), first_whole_day(now)
    given: dict[str, Any] = {"first": first, "now": moment, "done": done, "undone": undone, "most": MOST}
    days = [day for (day,) in clickhouse.query(_DAYS.replace("{rows}", rows), given, timeout=_SECONDS)]
    if not days:
        return []
    found = clickhouse.query(_REACTIONS.replace("{rows}", rows), {**given, "days": days}, timeout=_SECONDS)
    return [
        Miscount(table, user, post, author, made, standing, counted, tuple(sorted(living)), tuple(sorted(known)))
        for user, post, made, author, standing, counted, living, known in found
    ]


def _gone(table: str, some: Sequence[Miscount]) -> dict[tuple[UUID, UUID, datetime], list[UUID]]:
    """The ids of rows that stand there no more, as far as the copy still has them."""
    if not some:
        return {}
    columns = [("user_id", "UUID"), ("post_id", "UUID"), ("created_at", "DateTime64(6, 'UTC')")]
    living = {row for one in some for row in one.rows}
    found = clickhouse.query(
        _DEAD.replace("{copy}", f"{table}_cdc"),
        tables={"asked": (columns, [one.key for one in some])},
        timeout=_SECONDS,
    )
    return {(user, post, made): [row for row in rows if row not in living] for user, post, made, rows in found}


def _fields(one: Miscount) -> dict[str, Any]:
    return {
        "table": one.table,
        "deleted": one.counted > one.standing,
        "created_at": one.created_at,
        "user_id": one.user_id,
        "post_id": one.post_id,
        "author_id": one.author_id,
    }


def _own(one: Miscount, gone: Sequence[UUID]) -> list[Event]:
    """The events that its rows have by themselves, as far as none is known of that moment."""
    rows = one.rows if one.standing > one.counted else sorted(gone)
    identities = [reactions.identity_of(row, one.user_id, one.post_id) for row in rows]
    events = [table_event(**_fields(one), row_id=identity) for identity in identities]
    return [event for event in events if event.event_id not in one.known]


def _elsewhere(events: Sequence[Event]) -> set[UUID]:
    """The ids of those that stand at another moment already: the row's time was changed, and they would be dropped. Not
    those that have arrived at this one meanwhile."""
    if not events:
        return set()
    moments = {event.event_id: event.event_time for event in events}
    asked = ([("id", "UUID")], [(identifier,) for identifier in moments])
    found = clickhouse.query(_KNOWN, tables={"asked": asked}, timeout=_SECONDS)
    return {
        identifier
        for identifier, day, moment in found
        if day != moments[identifier].date() or (moment is not None and moment != moments[identifier])
    }


def _evening(one: Miscount, own: Sequence[Event]) -> list[Event]:
    """The events that make it count as it stands. Its own as far as there are: they may be on their way already."""
    lacking = abs(one.standing - one.counted)
    events = list(own[:lacking])
    moment = uuid5(one.user_id, f"{one.post_id}:{one.created_at.isoformat()}")
    for number in range(len(events), lacking):
        events.append(table_event(**_fields(one), row_id=moment, after=len(one.known) + number))
    return events
