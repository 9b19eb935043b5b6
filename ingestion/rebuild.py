"""The aggregates over `events`, computed anew from it and put right where they differ.

Only days that are still whole in `events` can be computed (30-day TTL), so only those are touched. An aggregate that is
kept in partitions of a day gets the whole day anew (REPLACE PARTITION); one that sums over longer gets a row with the
difference for each key. Either would be spoilt by an event that arrives in between. So a part of an aggregate that
seems to differ is computed once more, and put right, while no batch of events is under way and none can begin:
the rows of the ledger are locked, at which every consumer waits before its next insert.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings

from clickhouse_sql import schema
from ingestion.stillness import STILL_SECONDS, still
from nova import clickhouse, clock
from nova.errors import Permanent
from nova.postgres import alone

EVENT_DAYS = 30
_SECONDS = 600
# The scratch table is written anew each time: no repeat may be absorbed.
_NO_TOKENS = {**clickhouse.INSERT_SETTINGS, "deduplicate_insert": "disable", "insert_deduplicate": 0}


@dataclass(frozen=True)
class Aggregate:
    """A table that a view fills from `events`.

    key: what it is read by; read: what a reader gets per key, as (name, expression) for a GROUP BY; days: how many days
    back it can be put right; by_day: whether its partitions are days; for one that is not, scope: which of its rows can
    be put right, source: all events that count towards these (`{first:Date}`: the first day asked for, `{whole:Date}`:
    the first day that is still whole in `events`).
    """

    name: str
    key: str
    read: tuple[tuple[str, str], ...]
    days: int = EVENT_DAYS
    by_day: bool = True
    scope: str = ""
    source: str = ""
    day_of: str = ""

    @property
    def values(self) -> str:
        return ", ".join(f"{expression} AS r_{name}" for name, expression in self.read)


def _sums(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"sum({name})") for name in names)


_COUNTS = _sums("impressions", "views", "clicks", "likes", "comments", "shares")
AGGREGATES = {
    one.name: one
    for one in (
        Aggregate("event_ids", "day, event_id", (("copies", "count()"),), day_of="day"),
        Aggregate(
            "post_metrics_1h",
            "hour, post_id",
            (*_COUNTS, *_sums("dwell_ms", "momentum"), ("reactors", "toInt64(uniqMerge(reactors))")),
            day_of="toDate(hour)",
        ),
        # Kept for 7 days by its own TTL.
        Aggregate("seen_posts", "user_id, post_id", (("seen_at", "max(seen_at)"),), days=7, day_of="toDate(seen_at)"),
        Aggregate(
            "user_author_90d",
            "user_id, author_id, day",
            _sums("likes", "comments", "shares", "interactions"),
            by_day=False,
            scope="day >= {first:Date}",
            source="toDate(event_time) >= {first:Date}",
        ),
        # Over a post's life: only for posts that are younger than the first day. Where a client's clock was so far
        # behind that an event is older than its post, the event's day must be whole too.
        Aggregate(
            "post_counters",
            "post_day, post_id",
            _COUNTS,
            by_day=False,
            scope="post_day > {first:Date}"
            " AND post_id NOT IN (SELECT post_id FROM events WHERE toDate(event_time) < {whole:Date})",
            source="toDate(UUIDv7ToDateTime(post_id, 'UTC')) > {first:Date}",
        ),
    )
}


@dataclass(frozen=True)
class Outcome:
    """A part of an aggregate: a day, or with `day` None all that can be computed. wrong: keys with another value."""

    name: str
    day: date | None
    wrong: int
    mended: bool


def first_whole_day(now: datetime, days: int = EVENT_DAYS) -> date:
    """The first day of which no event has reached its TTL of `days` days yet."""
    return now.astimezone(UTC).date() - timedelta(days=days - 1)


def rebuild(
    names: Sequence[str] | None = None,
    *,
    days: int | None = None,
    dry_run: bool = False,
    patience: float = STILL_SECONDS,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Compare these aggregates (None: all) with `events`, and put right what differs unless `dry_run`.

    days: only the last so many, today included; patience: seconds to wait for a batch under way; report: told each part
    when it is done. Raises `ValueError` for an unknown name, a `nova.errors` class or `DatabaseError`; each part is put
    right at once or not at all, so it can be run again.
    """
    unknown = sorted(set(names or ()) - AGGREGATES.keys())
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no aggregate; there are {', '.join(AGGREGATES)}")
    if settings.CLICKHOUSE_CLUSTER:
        raise Permanent("this command does not rebuild the aggregates of a cluster: its scratch table would be shared")
    outcomes = []
    with alone("nova rebuild_views", "the aggregates are being rebuilt by another process already"):
        for name in names or AGGREGATES:
            for outcome in _Rebuild(AGGREGATES[name], clock.now(), days, dry_run, patience).run():
                report(outcome)
                outcomes.append(outcome)
    return outcomes


class _Rebuild:
    def __init__(self, aggregate: Aggregate, now: datetime, days: int | None, dry_run: bool, patience: float) -> None:
        self._one, self._dry_run, self._patience = aggregate, dry_run, patience
        self._first = first_whole_day(now, min(aggregate.days, days or aggregate.days))
        self._whole = first_whole_day(now)
        self._today = now.astimezone(UTC).date()
        self._scratch = f"rebuild_{aggregate.name}"
        self._select = _view_select(aggregate.name)

    def run(self) -> Iterator[Outcome]:
        clickhouse.command(f"DROP TABLE IF EXISTS {self._scratch} SYNC")
        clickhouse.command(f"CREATE TABLE {self._scratch} AS {self._one.name}")
        try:
            for day in self._parts():
                yield self._part(day)
        finally:
            clickhouse.command(f"DROP TABLE IF EXISTS {self._scratch} SYNC")

    def _parts(self) -> Iterator[date | None]:
        if not self._one.by_day:
            yield None
            return
        # A clock ahead of ours may have made it tomorrow already.
        for number in range((self._today - self._first).days + 2):
            yield self._first + timedelta(days=number)

    def _part(self, day: date | None) -> Outcome:
        wrong = self._wrong(day)
        if wrong:
            with still(self._patience):
                wrong = self._wrong(day)
                if wrong and not self._dry_run:
                    self._put_right(day)
        return Outcome(self._one.name, day, wrong, mended=bool(wrong) and not self._dry_run)

    def _wrong(self, day: date | None) -> int:
        """Compute the part into the scratch table; how many keys of the aggregate have another value."""
        clickhouse.command(f"TRUNCATE TABLE {self._scratch} SYNC")
        # A view's columns are the table's by name, not by place.
        described = clickhouse.query(f"DESCRIBE TABLE ({self._select_of(day)})", self._params(day))
        columns = [name for name, *_ in described]
        clickhouse.command(
            f"INSERT INTO {self._scratch} ({', '.join(columns)}) {self._select_of(day)}",
            self._params(day),
            timeout=_SECONDS,
            server_settings=_NO_TOKENS,
        )
        here, there = self._read(self._scratch, day), self._read(self._one.name, day)
        key = f"tuple({self._one.key})"
        [(wrong,)] = clickhouse.query(
            f"SELECT uniqExact({key}) FROM (({here} EXCEPT {there}) UNION ALL ({there} EXCEPT {here}))",
            self._params(day),
            timeout=_SECONDS,
        )
        return int(wrong)

    def _select_of(self, day: date | None) -> str:
        when = "toDate(event_time) = {day:Date}" if day else self._one.source
        return self._select.replace("FROM events", f"FROM (SELECT * FROM events WHERE {when}) AS events")

    def _params(self, day: date | None) -> dict[str, date]:
        return {"first": self._first, "whole": self._whole, **({"day": day} if day else {})}

    def _where(self, day: date | None) -> str:
        return f"{self._one.day_of} = {{day:Date}}" if day else self._one.scope

    def _read(self, table: str, day: date | None) -> str:
        """What a reader of the part sees; a key whose numbers are all 0 is as good as none."""
        numbers = " OR ".join(f"r_{name} != {_ZERO.get(name, '0')}" for name, _ in self._one.read)
        return (
            f"SELECT {self._one.key}, {self._one.values} FROM {table} WHERE {self._where(day)} "
            f"GROUP BY {self._one.key} HAVING {numbers}"
        )

    def _put_right(self, day: date | None) -> None:
        if day:
            partition = _partition(self._one.name, day)
            [(rows,)] = clickhouse.query(f"SELECT count() FROM {self._scratch}")
            # ClickHouse takes no partition from where there is none.
            how = f"REPLACE PARTITION {partition} FROM {self._scratch}" if rows else f"DROP PARTITION {partition}"
            clickhouse.command(f"ALTER TABLE {self._one.name} {how}", timeout=_SECONDS)
            return
        names = [name for name, _ in self._one.read]
        where = self._one.scope
        clickhouse.command(
            f"INSERT INTO {self._one.name} ({self._one.key}, {', '.join(names)}) "
            f"SELECT {self._one.key}, {', '.join(f'sum({name}) AS d_{name}' for name in names)} FROM ("
            f"SELECT {self._one.key}, {', '.join(names)} FROM {self._scratch} WHERE {where} UNION ALL "
            f"SELECT {self._one.key}, {', '.join(f'-{name}' for name in names)} FROM {self._one.name} WHERE {where}"
            f") GROUP BY {self._one.key} HAVING {' OR '.join(f'd_{name} != 0' for name in names)}",
            self._params(None),
            timeout=_SECONDS,
            server_settings=_NO_TOKENS,
        )


_ZERO = {"seen_at": "toDateTime(0, 'UTC')"}


def _partition(table: str, day: date) -> str:
    return f"'{day}'" if table == "event_ids" else f"{day:%Y%m%d}"


def _view_select(target: str) -> str:
    """The SELECT of the declared view that fills `target`."""
    for script in schema.declared():
        for statement in script.statements:
            head, _, select = statement.partition(" AS\n")
            if head.endswith(f" TO {target}"):
                return select
    raise Permanent(f"no view fills {target}")
