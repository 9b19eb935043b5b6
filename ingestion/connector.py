"""The Debezium connector: what it must be set to, giving it to Kafka Connect, and waiting until it runs."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import urllib3
from django.conf import settings
from django.db import connection

from nova import topics
from nova.errors import Permanent, Transient

# One key stays in one partition, so that its changes stay in order: the keys of the copies in ClickHouse.
MESSAGE_KEYS = {
    "posts": "id",
    "follows": "follower_id,followee_id",
    "comments": "id",
    "likes": "user_id,post_id",
    "blocks": "blocker_id,blocked_id,kind",
}
_HEARTBEAT = "cdc_heartbeat"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
# Where Debezium connects to says nothing about the shape of the messages.
_ABOUT_THE_CONNECTION = ("database.", "heartbeat.", "errors.", "retriable.", "poll.", "producer.", "slot.", "status.")
_FAILED = "the connector failed: {cause}"
# Debezium's own words recommend a setting that is not wanted here (see `snapshot.mode`).
_ANEW = (
    "the connector failed, and there is no slot {slot} with what it needs. If there was one before, go on with "
    "manage.py setup_cdc --resnapshot, and then manage.py verify_sync --repair, since no snapshot tells of deletions. "
    "Cause: {cause}"
)
_FULL_OLD_ROWS = """
SELECT c.relname FROM pg_publication_tables p
JOIN pg_class c ON c.relname = p.tablename JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = p.schemaname
WHERE p.pubname = %s AND c.relname = ANY(%s) AND c.relreplident = 'f'
"""


def unavailable_value() -> str:
    """What Debezium writes for a value it was not sent. Drawn from the secret key, so no member can type it."""
    digest = hmac.new(settings.SECRET_KEY.encode(), b"nova: unavailable TOAST value", hashlib.sha256)
    return f"__nova_unavailable_{digest.hexdigest()[:32]}"


def wanted_config() -> dict[str, str]:
    """The connector's whole configuration. It holds a password: never log it."""
    where = urlsplit(settings.CDC_DATABASE_URL)
    options = parse_qs(where.query)
    tables = (*topics.CDC_TABLES, _HEARTBEAT)
    config = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "plugin.name": "pgoutput",
        "topic.prefix": topics.CDC_PREFIX,
        "database.hostname": where.hostname or "",
        "database.port": str(where.port or 5432),
        "database.user": unquote(where.username or ""),
        "database.password": unquote(where.password or ""),
        "database.dbname": unquote(where.path.lstrip("/")),
        "table.include.list": ",".join(f"public.{table}" for table in tables),
        "message.key.columns": ";".join(f"public.{table}:{key}" for table, key in MESSAGE_KEYS.items()),
        # The publication is a migration; a connector that may make one would take every table.
        "publication.name": settings.CDC_PUBLICATION,
        "publication.autocreate.mode": "disabled",
        "slot.name": settings.CDC_SLOT,
        "slot.drop.on.stop": "false",
        # A lost slot stops the connector, loudly. `when_needed` would take a new snapshot by itself and hide that the
        # deletions in between are missing; `setup_cdc --resnapshot` is the same as a decision.
        "snapshot.mode": "initial",
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "interval.handling.mode": "string",
        "binary.handling.mode": "base64",
        "include.unknown.datatypes": "false",
        "skipped.operations": "none",
        "tombstones.on.delete": "true",
        "unavailable.value.placeholder": unavailable_value(),
        "provide.transaction.metadata": "false",
        "key.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        # A quiet database still writes WAL (other tables, checkpoints): the slot must move on with it.
        "heartbeat.interval.ms": "10000",
        "heartbeat.action.query": f"UPDATE public.{_HEARTBEAT} SET beat_at = now() WHERE id = 1",
        "status.update.interval.ms": "5000",
        # From 450 ms (p50) with the defaults to about 35 ms from a committed row to its record.
        "poll.interval.ms": "20",
        "producer.override.linger.ms": "5",
        "producer.override.acks": "all",
        "producer.override.max.request.size": str(topics.LARGEST_CHANGE),
        # PostgreSQL may be away for any time: try again for ever, soon.
        "errors.max.retries": "-1",
        "errors.retry.delay.initial.ms": "300",
        "errors.retry.delay.max.ms": "5000",
        "retriable.restart.connector.wait.ms": "2000",
        "slot.max.retries": "60",
        "slot.retry.delay.ms": "2000",
    }
    for option in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
        if option in options:
            config[f"database.{option}"] = options[option][0]
    return config


@dataclass(frozen=True)
class Difference:
    """A setting of the live connector that is not as wanted; "" means there is none."""

    key: str
    found: str
    wanted: str

    @property
    def shapes_messages(self) -> bool:
        """Whether the decoders may misread the messages for it; the others only say where and how fast."""
        return not self.key.startswith(_ABOUT_THE_CONNECTION)

    def __str__(self) -> str:
        if "password" in self.key or "placeholder" in self.key:
            return f"{self.key} is not the wanted value"
        return f"{self.key} is {self.found or 'not set'}, wanted {self.wanted or 'none'}"


def config_differences() -> list[Difference]:
    """In what the live connector's configuration is not the wanted one, sorted by key.

    Raises `Transient` when Kafka Connect does not answer, `Permanent` when it has no such connector.
    """
    live = _call("GET", f"/connectors/{_name()}/config")
    if live is None:
        raise Permanent(f"Kafka Connect has no connector {settings.CDC_CONNECTOR}; run manage.py setup_cdc")
    return compare(live, wanted_config())


def compare(live: Mapping[str, str], wanted: Mapping[str, str]) -> list[Difference]:
    keys = (live.keys() | wanted.keys()) - {"name"}
    return [
        Difference(key, live.get(key, ""), wanted.get(key, ""))
        for key in sorted(keys)
        if live.get(key, "") != wanted.get(key, "")
    ]


def apply() -> None:
    """Make the connector, or give a present one the wanted configuration, and start what had failed.

    Raises `Transient` when Kafka Connect does not answer, `Permanent` when it refuses the configuration.
    """
    _call("PUT", f"/connectors/{_name()}/config", wanted_config())
    _call("PUT", f"/connectors/{_name()}/resume")
    if _failures():
        _start_failed()


def revive() -> str | None:
    """Start again what of the connector has failed. Why it failed; None when nothing has.

    Raises `Permanent` without doing anything when the slot is missing or its WAL is gone: what changed meanwhile would
    be skipped, and that is nothing to decide alone. Raises `Transient` when Kafka Connect does not answer,
    `django.db.DatabaseError` when PostgreSQL does not.
    """
    causes = _failures()
    if not causes:
        return None
    if _slot_is_gone():
        raise Permanent(_ANEW.format(slot=settings.CDC_SLOT, cause=causes[0]))
    _start_failed()
    return causes[0]


def forget_position() -> None:
    """Stop the connector and drop its offsets and its slot, so that `apply` starts with a snapshot.

    Both go: only the snapshot that comes with a new slot is free of transactions in flight, whose changes have LSNs
    below the snapshot's and would lose against its rows.
    """
    if _call("GET", f"/connectors/{_name()}/config") is None:
        # Connect keeps the offsets of one that was deleted, and drops them only while there is one of that name.
        new = {"name": settings.CDC_CONNECTOR, "config": wanted_config(), "initial_state": "STOPPED"}
        _call("POST", "/connectors", new)
    _call("PUT", f"/connectors/{_name()}/stop")
    _until(lambda: _connector_state() == "STOPPED", "the connector did not stop")
    _call("DELETE", f"/connectors/{_name()}/offsets")
    _until(lambda: _slot_is_free(), f"the slot {settings.CDC_SLOT} is still in use")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
            [settings.CDC_SLOT],
        )


def wait_running(report: Callable[[str], None], timeout: float = 90) -> None:
    """Return when the connector and its task run; `report` is told each change of state. timeout: seconds.

    Raises `Permanent` with the first line of the task's trace when it failed, `Transient` when time is up.
    """
    deadline = time.monotonic() + timeout
    said = ""
    while True:
        states = _states(_call("GET", f"/connectors/{_name()}/status"))
        line = f"connector {states[0][0]}, task {states[1][0] if len(states) > 1 else 'not assigned yet'}"
        if line != said:
            report(line)
            said = line
        if causes := _causes(states):
            raise Permanent((_ANEW if _slot_is_gone() else _FAILED).format(slot=settings.CDC_SLOT, cause=causes[0]))
        if len(states) > 1 and all(state == "RUNNING" for state, _ in states) and slot_state():
            return
        if time.monotonic() > deadline:
            raise Transient(f"the connector does not run after {timeout:g} s: {said}")
        time.sleep(0.25)


def slot_state() -> dict[str, Any] | None:
    """The replication slot: `active`, `wal_status`, `behind` (bytes of WAL kept for it); None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint "
            "FROM pg_replication_slots WHERE slot_name = %s",
            [settings.CDC_SLOT],
        )
        row = cursor.fetchone()
    return None if row is None else {"active": row[0], "wal_status": row[1], "behind": row[2]}


def tables_without_full_old_rows() -> list[str]:
    """The source tables that are not published with REPLICA IDENTITY FULL: their deletions could not be followed."""
    with connection.cursor() as cursor:
        cursor.execute(_FULL_OLD_ROWS, [settings.CDC_PUBLICATION, list(topics.CDC_TABLES)])
        full = {name for (name,) in cursor.fetchall()}
    return [table for table in topics.CDC_TABLES if table not in full]


def _name() -> str:
    return quote(settings.CDC_CONNECTOR, safe="")


def _connector_state() -> str:
    states = _states(_call("GET", f"/connectors/{_name()}/status"))
    return states[0][0]


def _slot_is_gone() -> bool:
    state = slot_state()
    return state is None or state["wal_status"] == "lost"


def _slot_is_free() -> bool:
    state = slot_state()
    return state is None or not state["active"]


def _until(done: Callable[[], bool], otherwise: str, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise Transient(f"{otherwise} within {timeout:g} s")
        time.sleep(0.25)


def _states(status: Any) -> list[tuple[str, str]]:
    """(state, trace) of the connector, then of its task once it has one."""
    if status is None:  # between the PUT and the worker's first word about it
        return [("UNASSIGNED", "")]
    return [(part["state"], part.get("trace", "")) for part in (status["connector"], *status["tasks"])]


def _failures() -> list[str]:
    return _causes(_states(_call("GET", f"/connectors/{_name()}/status")))


def _causes(states: Iterable[tuple[str, str]]) -> list[str]:
    return [_cause(trace) for state, trace in states if state == "FAILED"]


def _start_failed() -> None:
    _call("POST", f"/connectors/{_name()}/restart?includeTasks=true&onlyFailed=true")


def _cause(trace: str) -> str:
    """The line of a Java trace that says most: the last cause, else the first line."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or ["no reason given"])[-1 if causes else 0]


@cache
def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=3, read=60))


def _call(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The answer of Connect's REST interface, parsed; None for 404 or no content. While it rebalances (409): waits."""
    base = urlsplit(settings.KAFKA_CONNECT_URL)
    address = f"{base.scheme}://{base.hostname}:{base.port or 8083}{base.path.rstrip('/')}{path}"
    headers = {"Content-Type": "application/json"}
    if base.username:
        headers |= urllib3.make_headers(basic_auth=f"{unquote(base.username)}:{unquote(base.password or '')}")
    for wait in (0.25, 0.5, 1, 2, 4, 8, 8, 0):
        try:
            answer = _http().request(method, address, body=json.dumps(body) if body else None, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"Kafka Connect at {base.hostname}:{base.port or 8083} does not answer: {error}") from error
        if answer.status != 409 or not wait:
            break
        time.sleep(wait)
    if answer.status == 404:
        return None
    text = answer.data.decode(errors="replace")
    if answer.status >= 400:
        kind = Transient if answer.status in (409, 500, 503, 504) else Permanent
        said = json.loads(text).get("message", text) if text.startswith("{") else text
        raise kind(f"Kafka Connect answered {answer.status}: {said[:1000]}")
    return json.loads(text) if text.strip() else None
