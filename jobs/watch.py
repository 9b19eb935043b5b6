"""The watch over what can fill a disk or fall behind unseen: the replication slot, its WAL, and the consumers' lag."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from ingestion import lag
from ingestion.models import Offset
from nova import metrics
from nova.metrics import Reading

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slot:
    """A replication slot. retained: bytes of WAL kept for it; wal_status as PostgreSQL says it: reserved, extended,
    unreserved (soon gone), lost."""

    name: str
    active: bool
    retained: int
    wal_status: str


def slot() -> Slot | None:
    """The slot of change data capture, None when there is none. Raises `django.db.DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT slot_name, active, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint,"
            " coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = %s",
            [settings.CDC_SLOT],
        )
        row = cursor.fetchone()
    return Slot(*row) if row else None


_BEHIND = " behind"
_ANEW = "manage.py setup_cdc --resnapshot, and then manage.py verify_sync --repair: no snapshot tells of deletions"

Complaints = dict[str, str]
"""What somebody should do something about, as a sentence, by a short name that stays the same while it lasts."""


def look(before: Collection[str] = ()) -> tuple[list[Reading], Complaints]:
    """The readings for /metrics, and what is wrong. before: the names of what was. Raises `django.db.DatabaseError`."""
    found = slot()
    rows = list(Offset.objects.all())
    ends = lag.ends(rows)
    lags = {one.consumer: one.lag for one in lag.summaries(rows, ends)}
    unknown = lag_unknown(before) if rows and not ends else {}
    readings: list[Reading] = [
        (metrics.SLOT_LOST, [settings.CDC_SLOT], float(found is None or found.wal_status == "lost")),
        *((metrics.LEDGER_LAG, [consumer], float(behind)) for consumer, behind in lags.items()),
    ]
    if found:
        readings += [
            (metrics.SLOT_ACTIVE, [found.name], float(found.active)),
            (metrics.SLOT_RETAINED_BYTES, [found.name], float(found.retained)),
        ]
    return readings, {**slot_complaints(found), **unknown, **lag_complaints(lags)}


def say(now: Complaints, before: Collection[str]) -> None:
    """Log what is newly wrong and what is well again; what goes on was said already."""
    for name, complaint in now.items():
        if name not in before:
            log.warning(complaint)
    for name in before:
        if name not in now:
            log.info("well again: %s", name)


def slot_complaints(found: Slot | None) -> Complaints:
    """What is wrong with the slot, and what to do. Pure."""
    name = settings.CDC_SLOT
    if found is None:
        return {
            "slot missing": f"the replication slot {name} does not exist: changes of the community are not captured."
            f" Run manage.py setup_cdc; if it existed before, {_ANEW}"
        }
    if found.wal_status == "lost":
        return {
            "slot lost": f"PostgreSQL has dropped WAL that the replication slot {name} still needed: changes are lost."
            f" For a new slot and snapshot {_ANEW}"
        }
    said: Complaints = {}
    if found.wal_status == "unreserved":
        said["slot about to be lost"] = (
            f"PostgreSQL is about to drop WAL that the replication slot {name} needs. Get Kafka Connect to run now, or"
            " raise max_slot_wal_keep_size"
        )
    if not found.active:
        said["slot unread"] = (
            f"nothing reads the replication slot {name}, and PostgreSQL keeps {found.retained:,} bytes of WAL for it."
            " Look whether Kafka Connect and its connector run (manage.py setup_cdc says so)"
        )
    elif found.retained > settings.WATCH_WAL_BYTES:
        said["WAL held back"] = (
            f"the replication slot {name} holds back {found.retained:,} bytes of WAL. Look whether the connector is"
            " behind, and whether a long transaction keeps it (pg_stat_activity)"
        )
    return said


def lag_unknown(before: Collection[str]) -> Complaints:
    """What is wrong when Kafka does not say how much it holds; who was behind is so still, for all one knows. Pure."""
    return {
        "lag unknown": "Kafka does not answer: how far the consumers are behind is known only as of their last batch."
        " Look whether the brokers run",
        **{name: f"{name}, when Kafka last answered" for name in before if name.endswith(_BEHIND)},
    }


def lag_complaints(lags: dict[str, int]) -> Complaints:
    """Which consumers are too far behind, and what to do. Pure."""
    return {
        f"{consumer}{_BEHIND}": f"the consumer {consumer} is {behind:,} messages behind."
        " Look whether it runs and what its log says; one more process of it helps, up to the number of partitions"
        for consumer, behind in sorted(lags.items())
        if behind > settings.WATCH_LAG
    }
