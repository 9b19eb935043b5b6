"""Is the schema on the server the declared one? Asked of the engine itself, never of the text.

The declared schema is made in a scratch database of the same server, and what the server then says of both is compared:
so a default that a server version adds, or another way to write the same type, is no difference.
"""

import secrets
import time
from dataclasses import dataclass

from django.conf import settings

from clickhouse_sql import cluster, memory, schema
from nova import clickhouse
from nova.errors import Transient

_DROP_SECONDS = 5.0
_TABLES = """
SELECT name, engine, engine_full, partition_key, sorting_key, primary_key, as_select, create_table_query
FROM system.tables WHERE database = {db:String} AND name NOT LIKE '.inner%' AND name != 'schema_changes'
"""
_COLUMNS = """
SELECT table, name, concat(type, ' ', default_kind, ' ', default_expression, ' ', compression_codec)
FROM system.columns WHERE database = {db:String} AND table != 'schema_changes'
"""
_INDEXES = """
SELECT table, name, concat(expr, ' ', type_full, ' ', toString(granularity))
FROM system.data_skipping_indices WHERE database = {db:String}
"""


@dataclass(frozen=True)
class Difference:
    """`what` of `table` is `found` on the server where the .sql files want `wanted`; "" means there is none."""

    table: str
    what: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.table}: {self.what} is {self.found or 'missing'}, wanted {self.wanted or 'none'}"


def differences() -> list[Difference]:
    """Everything in which the server's schema is not the declared one, sorted by table. Empty: all is as declared.

    Raises `nova.errors.NovaError` when ClickHouse cannot be asked.
    """
    scratch, name = f"nova_verify_{secrets.token_hex(6)}", settings.CLICKHOUSE_CLUSTER
    try:
        clickhouse.command(f"CREATE DATABASE `{scratch}`")
        for script in schema.declared():
            # The scratch database is on this host alone, of a cluster too.
            for statement in (cluster.render(script, name, everywhere=False) if name else script).statements:
                clickhouse.command(statement, database=scratch)
        if memory.wanted():
            # Its password is nobody's to see, so another one is no difference here.
            clickhouse.command(memory.statement({**settings.CLICKHOUSE, "database": scratch}), database=scratch)
        wanted = _facts(scratch)
    finally:
        _drop(scratch)
    found = _facts(settings.CLICKHOUSE["database"])
    return [
        Difference(table, what, found.get((table, what), ""), wanted.get((table, what), ""))
        for table, what in sorted(found.keys() | wanted.keys())
        if found.get((table, what), "") != wanted.get((table, what), "")
    ]


def _drop(scratch: str) -> None:
    deadline = time.monotonic() + _DROP_SECONDS
    while True:
        try:
            clickhouse.command(f"DROP DATABASE IF EXISTS `{scratch}` SYNC")
            return
        except Transient:
            # The server may still be at the statement that we left when we were told to end.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _facts(database: str) -> dict[tuple[str, str], str]:
    """What the server says of a database: (table, what) → text, the database's own name taken out."""
    asked = {"db": database}
    facts: dict[tuple[str, str], str] = {}
    for name, engine, full, partition, sorting, primary, select, query in clickhouse.query(_TABLES, asked):
        facts[name, "engine"] = engine
        if engine == "Dictionary":
            facts[name, "definition"] = query
            continue
        if engine == "MaterializedView":
            facts[name, "select"] = select
            continue
        before, _, table_settings = full.partition(" SETTINGS ")
        _, _, ttl = before.partition(" TTL ")
        for clause in (" PARTITION BY ", " PRIMARY KEY ", " ORDER BY "):
            before = before.split(clause)[0]
        facts[name, "engine arguments"] = before
        facts[name, "partition key"] = partition
        facts[name, "sorting key"] = sorting
        facts[name, "primary key"] = primary
        facts[name, "TTL"] = ttl
        for pair in table_settings.split(", "):
            if pair:
                key, _, value = pair.partition(" = ")
                facts[name, f"setting {key}"] = value
    for table, name, text in clickhouse.query(_COLUMNS, asked):
        facts[table, f"column {name}"] = text.strip()
    for table, name, text in clickhouse.query(_INDEXES, asked):
        facts[table, f"index {name}"] = text
    return {key: _unnamed(text, database) for key, text in facts.items()}


def _unnamed(text: str, database: str) -> str:
    """Without the database's own name: before a table, as an argument of Distributed, in a path of Keeper's."""
    for named, unnamed in (
        (f"{database}.", ""),
        (f"`{database}`.", ""),
        (f", '{database}', ", ", currentDatabase(), "),
        (f"/{database}/", "/DATABASE/"),
    ):
        text = text.replace(named, unnamed)
    return text
