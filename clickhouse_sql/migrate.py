"""Bringing a ClickHouse database to the declared schema. Safe to run twice, and by two processes at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

from django.conf import settings
from django.db import connection

from clickhouse_sql import cluster, memory, schema
from clickhouse_sql.schema import Script
from nova import clickhouse
from nova.errors import Permanent

# Any number, as long as nobody else's advisory lock in this PostgreSQL database is the same.
_LOCK = 0x6E6F7661
_ASK_AGAIN_SECONDS = 0.5
_CHANGES_TABLE = """
CREATE TABLE IF NOT EXISTS schema_changes
(
    name String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY name
""".strip()


def _is_ours(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
    return bool(cursor.fetchone()[0])


@contextmanager
def _alone() -> Iterator[None]:
    """Hold an advisory lock in PostgreSQL: ClickHouse has none, and two migrations at once would race."""
    with connection.cursor() as cursor:
        # Asked for again and again: waiting for it would be one statement, and these are bounded.
        while not _is_ours(cursor):
            sleep(_ASK_AGAIN_SECONDS)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def migrate(report: Callable[[str], None] = lambda line: None) -> int:
    """Make the database and everything in it; how many scripts ran. `report` is told each script's name.

    On a cluster every statement reaches every host; what the host asked has already is not counted. What is held in
    memory is made anew each time.

    Raises `nova.errors.NovaError` when ClickHouse refuses a statement; what ran before it stays, and running again
    goes on from there.
    """
    database = settings.CLICKHOUSE["database"]
    with _alone():
        on = f" ON CLUSTER `{settings.CLICKHOUSE_CLUSTER}`" if settings.CLICKHOUSE_CLUSTER else ""
        clickhouse.command(f"CREATE DATABASE IF NOT EXISTS `{database}`{on}", database="default")
        tables = clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
        present = {name for (name,) in tables}
        # Perhaps one that a run was killed in before it had made anything.
        fresh = present <= {"schema_changes"}
        for statement in _wanted(Script("schema_changes", (_CHANGES_TABLE,))).statements:
            clickhouse.command(statement)
        applied = {name for (name,) in clickhouse.query("SELECT name FROM schema_changes")}
        ran = 0
        for script in schema.changes():
            if script.name in applied:
                continue
            if not fresh:
                if on:
                    raise Permanent(
                        f"{script.name} is written for one server: run it on each host by hand, then "
                        f"INSERT INTO schema_changes (name) VALUES ('{script.name}')"
                    )
                report(script.name)
                for statement in script.statements:
                    clickhouse.command(statement, timeout=3600)
                ran += 1
            clickhouse.command("INSERT INTO schema_changes (name) VALUES ({name:String})", {"name": script.name})
        for script in schema.declared():
            for statement in _wanted(script).statements:
                absent = _creates(statement) not in present
                if absent:
                    report(script.name)
                    ran += 1
                # Another host of the cluster may have been down then, or be new.
                if absent or on:
                    clickhouse.command(statement)
        if memory.wanted() and memory.NAME not in present:
            report(memory.NAME)
            ran += 1
        # Also when it is there: whom it reads as may have changed.
        memory.renew()
    return ran


def _wanted(script: Script) -> Script:
    """As the server should have it: of one host, or of the cluster of the settings."""
    return cluster.render(script, settings.CLICKHOUSE_CLUSTER) if settings.CLICKHOUSE_CLUSTER else script


def _creates(statement: str) -> str:
    """The name of the table or view that a CREATE … IF NOT EXISTS statement makes."""
    return statement.split("IF NOT EXISTS", 1)[1].split()[0]
