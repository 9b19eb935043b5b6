"""Cases 52 and 53: what the declared tables of copies are made of, so that FINAL returns one row a key."""

import re
from collections.abc import Iterator

import pytest

from clickhouse_sql import schema
from ingestion.connector import MESSAGE_KEYS
from ingestion.copies import COPIES, Copy
from nova import clickhouse

pytestmark = pytest.mark.usefixtures("prepared")

MOVED = {"do_not_merge_across_partitions_select_final": 1}


def declared(copy: Copy) -> str:
    [found] = [
        statement
        for script in schema.declared()
        for statement in script.statements
        if f"CREATE TABLE IF NOT EXISTS {copy.target}\n" in statement
    ]
    return found


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.target)
def test_ordered_by_the_key_alone_and_in_no_partitions(copy: Copy) -> None:
    statement = declared(copy)
    [order] = re.findall(r"^ORDER BY \(?([\w, ]+)\)?", statement, re.MULTILINE)
    assert tuple(order.split(", ")) == copy.key
    assert "PARTITION BY" not in statement
    assert "ReplacingMergeTree(version, is_deleted)" in statement
    if copy.target.endswith("_cdc"):
        assert copy.key == tuple(MESSAGE_KEYS[copy.table].split(","))


@pytest.fixture
def scratch() -> Iterator[str]:
    yield "final_test"
    clickhouse.command("DROP TABLE IF EXISTS final_test SYNC")


def rows_with_final(scratch: str, statement: str) -> int:
    """How many rows FINAL returns of one follow that was stored in two versions."""
    clickhouse.command(statement.replace("IF NOT EXISTS follows_cdc", scratch))
    for version, day in ((8, "2026-01-01"), (16, "2026-01-02")):
        clickhouse.command(
            f"INSERT INTO {scratch} (id, follower_id, followee_id, created_at, version, is_deleted)"
            f" SELECT toUUID('{'0' * 8}-0000-7000-8000-000000000001'), toUUIDOrZero(''), toUUIDOrZero(''), '{day}',"
            f" {version}, 0"
        )
    [(rows,)] = clickhouse.query(f"SELECT count() FROM {scratch} FINAL", server_settings=MOVED)
    return int(rows)


def test_two_versions_are_one_row(scratch: str) -> None:
    [follows] = [copy for copy in COPIES if copy.target == "follows_cdc"]
    assert rows_with_final(scratch, declared(follows)) == 1


@pytest.mark.parametrize(
    ("ours", "spoilt"),
    [
        ("ORDER BY (follower_id, followee_id)", "ORDER BY (follower_id, followee_id, version)"),
        ("ORDER BY", "PARTITION BY toDate(created_at) ORDER BY"),
    ],
    ids=["version in the key", "mutable partition"],
)
def test_two_versions_would_be_two_rows(scratch: str, ours: str, spoilt: str) -> None:
    """Negative control: with the version in the key, or partitions by what can change."""
    [follows] = [copy for copy in COPIES if copy.target == "follows_cdc"]
    statement = declared(follows)
    assert ours in statement
    assert rows_with_final(scratch, statement.replace(ours, spoilt)) == 2
