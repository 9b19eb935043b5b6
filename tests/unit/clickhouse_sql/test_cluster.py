"""The schema of a cluster: nothing of the declared one is lost on the way, and a reader is led only where rows are."""

import re

import pytest

from clickhouse_sql import cluster, schema
from clickhouse_sql.schema import Script

ONE_HOST = [statement for script in schema.declared() for statement in script.statements]
RENDERED = [text for script in schema.declared() for text in cluster.render(script, "nova").statements]


def named(statement: str) -> str:
    return statement.split("IF NOT EXISTS ", 1)[1].split()[0]


def test_every_table_is_replicated_and_has_its_name_over_all_shards() -> None:
    by_name = {named(statement): statement for statement in RENDERED}
    assert len(by_name) == len(RENDERED)
    for statement in ONE_HOST:
        name = named(statement)
        if name in cluster.EVERYWHERE:
            assert "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'" in by_name[name]
        elif statement.startswith("CREATE TABLE"):
            assert "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'" in by_name[f"{name}_local"]
            assert f"Distributed(`nova`, currentDatabase(), {name}_local, " in by_name[name]
    assert all(" ON CLUSTER `nova`" in statement for statement in RENDERED)


def test_what_a_table_is_made_of_stays_word_for_word() -> None:
    for statement in ONE_HOST:
        if statement.startswith("CREATE TABLE"):
            (local,) = (
                text
                for text in RENDERED
                if named(text) in (named(statement), f"{named(statement)}_local") and "Replicated" in text
            )
            columns, rest = statement.split("\n", 1)[1].split("\nENGINE = ")
            assert f"\n{columns}\n" in local
            keys = rest.split("\n", 1)[1].split("SETTINGS")[0]
            assert keys in local
            for setting in (
                "fsync_after_insert = 1",
                "fsync_part_directory = 1",
                "replicated_deduplication_window = 20000",
            ):
                assert setting in local
            assert "non_replicated" not in local


def test_views_join_tables_of_one_host() -> None:
    views = [statement for statement in RENDERED if statement.startswith("CREATE MATERIALIZED VIEW")]
    assert len(views) == sum(statement.startswith("CREATE MATERIALIZED VIEW") for statement in ONE_HOST)
    for view in views:
        target, source, known = re.findall(r" TO (\w+) AS\n.*\bFROM (\w+) AS (\w+)\b", view, re.DOTALL)[0]
        assert source.removesuffix("_local") == known
        assert {name.endswith("_local") or name in cluster.EVERYWHERE for name in (target, source)} == {True}
        # A row that every host gets must not be counted on each of them, nor one of a shard be taken for everyone's.
        assert (target in cluster.EVERYWHERE) == (source in cluster.EVERYWHERE)


def test_a_view_writes_where_its_target_is_looked_for() -> None:
    # The key of a target must be worked out from columns that are its source's own, or be no key at all.
    for statement in ONE_HOST:
        if view := re.match(
            r"CREATE MATERIALIZED VIEW IF NOT EXISTS \w+ TO (\w+) AS.*\bFROM (\w+)", statement, re.DOTALL
        ):
            key = cluster.SHARDED_BY.get(view[1])
            assert key in ("rand()", cluster.SHARDED_BY.get(view[2])), view[1]


def test_what_it_does_not_know_it_refuses() -> None:
    with pytest.raises(ValueError, match="by what it is sharded"):
        cluster.render(
            Script("x", ("CREATE TABLE IF NOT EXISTS moods\n(\n    id UUID\n)\nENGINE = MergeTree\nORDER BY id",)),
            "nova",
        )
    with pytest.raises(ValueError, match="cannot be rendered"):
        cluster.render(Script("x", ("ALTER TABLE events ADD COLUMN mood String",)), "nova")
