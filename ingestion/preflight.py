"""What must hold before the first message is read: without it, a repeated insert would be counted twice, or lost."""

import re
from collections.abc import Iterable

from redis.exceptions import RedisError

from ingestion.errors import EXIT_SETTINGS, Halt
from ingestion.ledger import answering
from ingestion.models import Offset
from nova import clickhouse, kafka, redis, topics

_WINDOW = "non_replicated_deduplication_window"
_AT_LEAST = {_WINDOW: 10_000, "fsync_after_insert": 1, "fsync_part_directory": 1}
# What a token's life hangs on where the table is replicated: its count, and its age in seconds (a day at least).
_OF_REPLICATED = {"replicated_deduplication_window": 10_000, "replicated_deduplication_window_seconds": 86_400}
_TABLES = """
SELECT name, engine, engine_full, create_table_query, dependencies_table
FROM system.tables WHERE database = currentDatabase()
"""
_DEFAULTS = "SELECT name, value FROM system.merge_tree_settings WHERE name IN ({names:Array(String)})"
_BEHIND = re.compile(r"^Distributed\('[^']*', '[^']*', '(\w+)'")
_TARGET = re.compile(r"^CREATE MATERIALIZED VIEW \S+ TO (?:`?\w+`?\.)?`?(\w+)`?")


def check_tables(names: Iterable[str]) -> None:
    """Every table that is inserted into, and every target of a view on it, must deduplicate and reach the disk.

    Raises `Halt` with a line for each setting that is wrong (table, setting, found, wanted), `Transient` when
    ClickHouse does not answer.
    """
    tables = {row[0]: row[1:] for row in clickhouse.query(_TABLES)}
    defaults = dict(clickhouse.query(_DEFAULTS, {"names": [*_AT_LEAST, *_OF_REPLICATED]}))
    wrong: list[str] = []
    todo, seen = list(names), set()
    while todo:
        table = todo.pop(0)
        if table in seen:
            continue
        seen.add(table)
        if table not in tables:
            wrong.append(f"{table}: there is no such table")
            continue
        engine, full, create, dependents = tables[table]
        if engine == "MaterializedView":
            target = _TARGET.match(create)
            todo.append(target[1] if target else f"the target of {table}")
            continue
        if behind := _BEHIND.match(full):
            todo.append(behind[1])
            continue
        todo.extend(dependents)
        wanted = dict(_AT_LEAST)
        if engine.startswith("Replicated"):
            wanted = {**_OF_REPLICATED, **{name: least for name, least in _AT_LEAST.items() if name != _WINDOW}}
        found = defaults | dict(re.findall(r"(\w+) = '?(\w+)'?", full.partition(" SETTINGS ")[2]))
        wrong += [
            f"{table}: {setting} is {found.get(setting, 'unknown')}, wanted {'at least ' if least > 1 else ''}{least}"
            for setting, least in wanted.items()
            if not str(found.get(setting, "")).isdigit() or int(found[setting]) < least
        ]
    if wrong:
        raise Halt(
            "ClickHouse is not set up to store every event exactly once (see manage.py migrate_clickhouse and "
            "verify_clickhouse):\n" + "\n".join(f"  - {line}" for line in wrong),
            EXIT_SETTINGS,
        )


def check_claims_stay() -> None:
    """The Redis of the claims may not evict them. Raises `Halt`; a Redis that does not answer is no reason to wait."""
    try:
        policy = redis.durable().info("memory").get("maxmemory_policy", "noeviction")
    except RedisError:
        return
    if policy != "noeviction":
        raise Halt(f"Redis (REDIS_URL): maxmemory-policy is {policy}, wanted noeviction", EXIT_SETTINGS)


def check_alone(consumer: str) -> None:
    """Raise `Halt` while another group reads the events: what two insert at the same moment is counted twice. One may
    follow another that has stopped. Raises `Transient` when PostgreSQL or Kafka does not answer."""
    with answering():
        others = list(
            Offset.objects.filter(topic=topics.EVENTS).exclude(consumer=consumer).values_list("consumer", flat=True)
        )
    for other in sorted(set(others)):
        if running := kafka.members(other):
            raise Halt(
                f"{running} processes of the group {other} read the events: stop them first, or use --group {other}",
                EXIT_SETTINGS,
            )
