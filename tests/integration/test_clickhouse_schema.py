"""verify_clickhouse: the schema on the server is the declared one, or it says what differs."""

import os
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from clickhouse_sql import memory, migrate, schema
from clickhouse_sql.verify import differences
from nova import clickhouse
from nova.errors import Transient
from tests.client import wait_until
from tests.integration.commands import manage, started

DATABASE = "nova_schema_test"


@pytest.fixture
def database(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of its own with the declared schema, so that spoiling it harms nobody."""
    monkeypatch.setitem(settings.CLICKHOUSE, "database", DATABASE)
    # The process's connections stay in the database they were made for.
    pool = clickhouse._Pool(2)
    monkeypatch.setattr(clickhouse, "_pool", lambda: pool)
    clickhouse.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}", database="default")
    for script in schema.declared():
        for statement in script.statements:
            clickhouse.command(statement)
    memory.renew()
    yield DATABASE
    clickhouse.command(f"DROP DATABASE {DATABASE} SYNC", database="default")


def test_what_the_deployment_made_is_as_declared(prepared: Any) -> None:
    assert differences() == []


@pytest.mark.parametrize(
    ("spoil", "table", "what"),
    [
        ("ALTER TABLE events MODIFY SETTING fsync_after_insert = 0", "events", "setting fsync_after_insert"),
        (
            "ALTER TABLE post_counters MODIFY SETTING non_replicated_deduplication_window = 0",
            "post_counters",
            "setting non_replicated_deduplication_window",
        ),
        ("ALTER TABLE events DROP INDEX event_id_bloom", "events", "index event_id_bloom"),
        ("ALTER TABLE events MODIFY TTL toDateTime(event_time) + INTERVAL 9 DAY", "events", "TTL"),
        ("ALTER TABLE posts_cdc ADD COLUMN mood String", "posts_cdc", "column mood"),
        ("ALTER TABLE events MODIFY COLUMN dwell_ms UInt64", "events", "column dwell_ms"),
        ("DROP VIEW mv_seen_posts", "mv_seen_posts", "engine"),
        ("DROP TABLE follows_cdc", "follows_cdc", "sorting key"),
        (
            "ALTER TABLE mv_event_ids MODIFY QUERY SELECT toDate(event_time) AS day, user_id AS event_id FROM events",
            "mv_event_ids",
            "select",
        ),
        (memory.DROP, "recent_counts", "definition"),
        (
            memory.statement({"database": DATABASE, "user": "default", "password": ""}).replace("- 8", "- 1"),
            "recent_counts",
            "definition",
        ),
    ],
)
def test_every_kind_of_difference_is_found(database: str, spoil: str, table: str, what: str) -> None:
    assert differences() == []
    clickhouse.command(spoil)
    assert (table, what) in {(difference.table, difference.what) for difference in differences()}
    said = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("verify_clickhouse", stdout=StringIO(), stderr=said)
    assert error.value.returncode == 1
    assert table in said.getvalue()


def test_a_key_that_is_not_the_declared_one_is_found(database: str) -> None:
    # Case 52: with the version in the sorting key, FINAL would return every version of a row.
    clickhouse.command("DROP TABLE likes_cdc")
    (declared,) = (one for one in schema.declared() if one.name.endswith("likes_cdc.sql"))
    clickhouse.command(
        declared.statements[0].replace("ORDER BY (user_id, post_id)", "ORDER BY (user_id, post_id, version)")
    )
    found = {difference.what: difference for difference in differences() if difference.table == "likes_cdc"}
    assert found["sorting key"].found == "user_id, post_id, version"
    assert found["sorting key"].wanted == "user_id, post_id"


def test_a_dictionary_that_is_not_wanted_is_found(database: str, settings: Any) -> None:
    settings.COUNTS_MEMORY_SECONDS = 0
    assert {(found.table, found.wanted) for found in differences()} == {("recent_counts", "")}


def test_what_is_printed_makes_the_whole_schema_and_tells_no_password(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.CLICKHOUSE, "password", "not for everyone")
    said = StringIO()
    call_command("migrate_clickhouse", "--print", stdout=said)
    printed, before = said.getvalue(), settings.CLICKHOUSE["database"]
    assert "CREATE OR REPLACE DICTIONARY recent_counts" in printed
    assert "not for everyone" not in printed
    monkeypatch.undo()
    monkeypatch.setitem(settings.CLICKHOUSE, "database", f"{DATABASE}_printed")
    clickhouse.command(f"CREATE DATABASE {DATABASE}_printed", database="default")
    try:
        for statement in printed.split(";\n")[:-1]:
            clickhouse.command(statement.replace(f"`{before}`", f"`{DATABASE}_printed`"))
        assert differences() == []
    finally:
        clickhouse.command(f"DROP DATABASE {DATABASE}_printed SYNC", database="default")


def test_kafka_engine_is_never_declared() -> None:
    assert not any("Kafka" in statement for script in schema.declared() for statement in script.statements)


def test_the_changes_bring_an_older_schema_to_the_declared_one(database: str) -> None:
    """Settings as they were before; an installation that has them is migrated, not made anew."""
    clickhouse.command("ALTER TABLE post_counters MODIFY SETTING min_bytes_for_wide_part = 107374182400")
    for table in ("post_counters", "user_author_90d", "seen_posts"):
        for setting in ("min_compress_block_size", "max_compress_block_size", "min_age_to_force_merge_seconds"):
            clickhouse.command(f"ALTER TABLE {table} RESET SETTING {setting}")
    for column in ("text", "media"):
        clickhouse.command(f"ALTER TABLE posts_by_author MODIFY COLUMN {column} String CODEC(ZSTD(3))")
    older = {"post_counters", "user_author_90d", "seen_posts", "posts_by_author"}
    assert {difference.table for difference in differences()} == older
    for script in schema.changes():
        for statement in script.statements:
            clickhouse.command(statement)
    assert differences() == []


@pytest.mark.django_db
def test_a_migration_that_was_killed_at_its_beginning_can_be_run_again(prepared: Any, monkeypatch) -> None:
    monkeypatch.setitem(settings.CLICKHOUSE, "database", DATABASE)
    pool = clickhouse._Pool(2)
    monkeypatch.setattr(clickhouse, "_pool", lambda: pool)
    command, killed = clickhouse.command, []

    def dies_once(sql: str, *given: Any, **named: Any) -> None:
        if sql.startswith("INSERT INTO schema_changes") and not killed:
            killed.append(sql)
            raise Transient("the server went away")
        command(sql, *given, **named)

    monkeypatch.setattr(clickhouse, "command", dies_once)
    try:
        with pytest.raises(CommandError):
            call_command("migrate_clickhouse", stdout=StringIO())
        call_command("migrate_clickhouse", stdout=StringIO())
        assert (killed != [], differences()) == (True, [])
    finally:
        command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC", database="default")


def test_a_second_migration_waits_for_the_first_however_short_a_statement_may_be(prepared: Any) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
        own.execute("SELECT pg_advisory_lock(%s)", [migrate._LOCK])
        ends = threading.Timer(5, lambda: own.execute("SELECT pg_advisory_unlock(%s)", [migrate._LOCK]))
        ends.start()
        ran = manage("migrate_clickhouse", DATABASE_STATEMENT_MS="1000")
        ends.join()
    assert ran.code == 0, ran.said


def test_a_command_that_is_told_to_end_leaves_nothing(prepared: Any) -> None:
    """SIGTERM ends any command as an exception does: here with a database for the comparison half made."""

    def made() -> list[tuple[str]]:
        return clickhouse.query("SELECT name FROM system.databases WHERE startsWith(name, 'nova_verify_')")

    process = started("verify_clickhouse")
    wait_until(lambda: bool(made()), "the comparison to begin")
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, made()) == (143, []), said


def test_whether_it_differs_is_not_known_without_clickhouse(prepared: Any) -> None:
    ran = manage("verify_clickhouse", CLICKHOUSE_URL="clickhouse://default@127.0.0.1:1/nothing")
    assert (ran.code, "could not be asked" in ran.said) == (3, True), ran.said
