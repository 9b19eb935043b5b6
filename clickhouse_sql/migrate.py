"""Bringing a ClickHouse database to the declared schema. Safe to run twice, and by two processes at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from clickhouse_sql import schema
from nova import clickhouse

# Any number, as long as nobody else's advisory lock in this PostgreSQL database is the same.
_LOCK = 0x6E6F7661
_CHANGES_TABLE = """
CREATE TABLE IF NOT EXISTS schema_changes
(
    name String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY name
"""


@contextmanager
def _alone() -> Iterator[None]:
    """Hold an advisory lock in PostgreSQL: ClickHouse has none, and two migrations at once would race."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def migrate(report: Callable[[str], None] = lambda line: None) -> int:
    """Make the database and everything in it; how many scripts ran. `report` is told each script's name.

    Raises `nova.errors.NovaError` when ClickHouse refuses a statement; what ran before it stays, and running again
    goes on from there.
    """
    database = settings.CLICKHOUSE["database"]
    with _alone():
        clickhouse.command(f"CREATE DATABASE IF NOT EXISTS `{database}`", database="default")
        tables = clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
        present = {name for (name,) in tables}
        fresh = not present
        clickhouse.command(_CHANGES_TABLE)
        applied = {name for (name,) in clickhouse.query("SELECT name FROM schema_changes")}
        ran = 0
        for script in schema.changes():
            if script.name in applied:
                continue
            if not fresh:
                report(script.name)
                for statement in script.statements:
                    clickhouse.command(statement, timeout=3600)
                ran += 1
            clickhouse.command("INSERT INTO schema_changes (name) VALUES ({name:String})", {"name": script.name})
        for script in schema.declared():
            for statement in script.statements:
                if _creates(statement) not in present:
                    report(script.name)
                    clickhouse.command(statement)
                    ran += 1
    return ran


def _creates(statement: str) -> str:
    """The name of the table or view that a CREATE … IF NOT EXISTS statement makes."""
    return statement.split("IF NOT EXISTS", 1)[1].split()[0]
