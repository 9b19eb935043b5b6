"""Change messages that cannot be stored: dead letters with their bytes, and the rows behind them are stored."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from nova import clickhouse, kafka, topics
from tests.client import wait_until
from tests.integration.commands import manage, told_by_verify
from tests.integration.test_cdc_copies import same
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")


def message(follower: UUID, created_at: Any) -> bytes:
    after = {"id": str(uuid4()), "follower_id": str(follower), "followee_id": str(uuid4()), "created_at": created_at}
    return json.dumps({"op": "c", "before": None, "after": after, "source": {"table": "follows", "lsn": 80}}).encode()


def letters(world: World, about: UUID) -> list[tuple[bytes, str, str]]:
    """Bytes, reason and field of the dead letters that name this member."""
    found = world.sql_rows(
        "SELECT raw, reason, field FROM dead_letters WHERE position(convert_to(%s, 'UTF8') IN raw) > 0", str(about)
    )
    return [(bytes(raw), reason, field) for raw, reason, field in found]


@pytest.mark.parametrize("created_at", [20780, 1795437202583110, "AfZq", "2026-11-23", "1795437202.583110"], ids=str)
def test_other_spellings_of_a_time_are_no_times(world: World, created_at: Any) -> None:
    """Case 50: days, microseconds, base64 decimals and dates, as other connector settings would write them."""
    follower, topic = world.member(), topics.of_table("follows")
    raw = message(follower, created_at)
    good = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    kafka.send(topic, [(b"one key", raw, None), (b"one key", message(follower, good), None)], timeout=20)
    copy = f"follows_cdc FINAL WHERE follower_id = '{follower}'"
    wait_until(lambda: world.count(copy) == 1, "the good one behind it")
    # Rows come before dead letters, which go with the offset.
    wait_until(lambda: letters(world, follower), "the dead letter")
    assert letters(world, follower) == [(raw, "bad_column", "created_at")]
    clickhouse.command(f"DELETE FROM follows_cdc WHERE follower_id = '{follower}'")


@pytest.mark.parametrize("moment", ["2300-01-01 00:00:00+00", "infinity", "0044-03-15 BC"])
def test_times_that_clickhouse_does_not_have(world: World, moment: str) -> None:
    """Case 51: they would be clamped without a word (control), so they become dead letters.

    Until somebody mends the row, lists and feeds in order of time show it, these up to ten years back, and the
    comparison of the copies says that it is missing.
    """
    author, reader = world.member(), world.member()
    world.follow(reader, author)
    kept = world.post(author)
    refused = world.sql_one(
        "INSERT INTO posts (author_id, text, created_at) VALUES (%s, 'x', %s) RETURNING id", author, moment
    )
    try:
        later = world.post(author)
        recent = {kept, later} if moment.endswith("BC") else {kept, refused, later}
        wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{later}'"), "the post behind it")
        wait_until(lambda: letters(world, refused), "the dead letter")
        assert [(reason, field) for _, reason, field in letters(world, refused)] == [("bad_column", "created_at")]
        listed = world.api.get(f"/api/posts?author={author}", author)
        assert {post["id"] for post in listed.body["items"]} == {str(kept), str(refused), str(later)}
        for explain in (0, 1):
            # The second comes from Redis.
            read = world.api.feed(reader, f"algo=time&explain={explain}")["posts"]
            assert {post["id"] for post in read} == {str(post) for post in recent}
            assert {post["author"]["id"] for post in read} == {str(author)}
        compared = manage("verify_sync", "posts", "--patience", "1")
        assert (compared.code, told_by_verify(compared.said)["posts_cdc"]) == (1, (1, 0, 0)), compared.said
    finally:
        # Others compare all posts row by row.
        world.sql("DELETE FROM posts WHERE id = %s", refused)
    wait_until(lambda: same(world, [author]), "the posts that can be stored")
    assert world.count(f"posts_cdc FINAL WHERE id = '{kept}'") == 1


def test_clickhouse_clamps_without_a_word(world: World) -> None:
    """Negative control of case 51: a DateTime, as aggregates have it, becomes another time."""
    [(year,)] = clickhouse.query(
        r"SELECT toYear(t) FROM format(JSONEachRow, 't DateTime(\'UTC\')', '{\"t\": \"2300-01-01 00:00:00\"}')"
    )
    assert year != 2300
