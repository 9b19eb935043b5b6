"""The backfill beside the stream: whatever changes meanwhile, at the end both databases hold the same rows."""

import random
import signal
import time
from uuid import UUID, uuid4

import psycopg
import pytest

from nova import clickhouse
from tests.apps import Apps
from tests.client import wait_until
from tests.integration.commands import manage, started
from tests.integration.test_cdc_copies import same
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")


def posts(world: World, author: UUID, count: int) -> None:
    numbers = "INSERT INTO posts (author_id, text) SELECT %s, 'number ' || n FROM generate_series(1, %s) n"
    world.sql(numbers, author, count)
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE author_id = '{author}'") == count, "the posts in the copy")


def forget(author: UUID) -> None:
    """The copies lose everything about this author."""
    for table in ("posts_cdc", "posts_by_author"):
        clickhouse.command(f"DELETE FROM {table} WHERE author_id = '{author}'")


def test_beside_a_stream_of_changes(world: World) -> None:
    author, chance = world.member(), random.Random(4)
    posts(world, author, 2000)
    forget(author)
    assert not same(world, [author])
    process = started("backfill", "posts", "--restart", "--batch", "100", "--rate", "1500")
    changes = 0
    while process.poll() is None:
        ((one,), (other,)) = world.sql_rows(
            "SELECT id FROM posts WHERE author_id = %s ORDER BY random() LIMIT 2", author
        )
        world.sql("UPDATE posts SET text = %s, updated_at = now() WHERE id = %s", f"now {uuid4()}", one)
        world.sql("DELETE FROM posts WHERE id = %s", other)
        world.post(author, hours_ago=chance.choice([0, 50]))
        changes += 1
        time.sleep(0.01)
    assert process.returncode == 0, process.communicate()[0]
    assert changes > 20
    wait_until(lambda: same(world, [author]), "the same rows in both")


def test_a_transaction_that_was_open_does_not_lose_to_what_was_read_before_it_ended(world: World, prepared) -> None:
    author = world.member()
    posts(world, author, 10)
    with psycopg.connect(prepared.env["DATABASE_URL"]) as slow:
        slow.execute("UPDATE posts SET text = 'of the slow one' WHERE author_id = %s", (author,))
        # Others write behind it, so that the end of the WAL lies above its change.
        posts(world, other := world.member(), 10)
        process = started("backfill", "posts", "--restart")
        assert process.stdout
        # One that does not wait ends, and has then stored the old texts under a version above the change.
        waiting = any("waiting for open transactions" in line for line in process.stdout)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    wait_until(lambda: same(world, [author, other]), "the texts of the slow transaction", 20)
    assert waiting


def test_the_version_of_a_change_is_the_place_of_its_own_record(world: World, prepared) -> None:
    """What the version rule stands on: the LSN of the row's record, not of its transaction's end."""
    author = world.member()
    post = world.post(author)
    where = "SELECT pg_current_wal_insert_lsn() - '0/0'"
    with psycopg.connect(prepared.env["DATABASE_URL"]) as connection:
        (before,) = connection.execute(where).fetchone()
        connection.execute("UPDATE posts SET text = 'changed' WHERE id = %s", (post,))
        (after,) = connection.execute(where).fetchone()
        posts(world, world.member(), 10)
    position = "bitAnd(version, bitShiftLeft(toUInt64(1), 56) - 1)"
    found = f"SELECT {position} FROM posts_cdc WHERE id = '{post}' AND text = 'changed'"
    [(lsn,)] = wait_until(lambda: clickhouse.query(found), "the change")
    assert before <= lsn < after
    assert lsn % 8 == 0


def place(world: World) -> tuple:
    (row,) = world.sql_rows("SELECT rows, last_id, finished_at FROM backfill_progress WHERE \"table\" = 'posts'")
    return row


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_run_goes_on(world: World, number: int, code: int) -> None:
    author = world.member()
    posts(world, author, 1000)
    forget(author)
    assert manage("backfill", "posts", "--restart", "--batch", "100000").code == 0
    forget(author)
    process = started("backfill", "posts", "--restart", "--batch", "50", "--rate", "400")
    wait_until(lambda: place(world)[2] is None and place(world)[0] >= 100, "a few pieces done")
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == code, output
    rows, last_id, finished = place(world)
    assert last_id is not None
    assert finished is None
    assert not same(world, [author])
    again = manage("backfill", "posts")
    assert again.code == 0, again.said
    assert f"going on behind {last_id}, {rows:,} rows were done" in again.said
    stored = int(again.said.split(" rows of posts stored")[0].split("\n")[-1].replace(",", ""))
    assert stored + rows == world.sql_one("SELECT count(*) FROM posts")
    assert same(world, [author])


def test_a_run_whose_session_is_ended_says_why_and_the_next_goes_on(world: World) -> None:
    """It said that its connection was closed when it gave back the lock, which had gone with the session."""
    posts(world, world.member(), 20)
    assert manage("backfill", "posts", "--restart").code == 0
    process = started("backfill", "posts", "--restart", "--batch", "1", "--rate", "1")
    held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND database = {} AND granted".format(
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    wait_until(lambda: place(world)[2] is None and place(world)[0] >= 1 and world.sql_one(held), "a piece done")
    world.sql_one(f"SELECT pg_terminate_backend(({held}))")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 69, output
    assert "terminating connection due to administrator command" in output
    again = manage("backfill", "posts")
    assert again.code == 0, again.said
    assert "going on behind" in again.said


def test_a_row_that_is_nested_too_deep_is_refused_alone(world: World) -> None:
    author = world.member()
    posts(world, author, 3)
    forget(author)
    nested = "SELECT %s, 'deep', (repeat('[', 3000) || repeat(']', 3000))::jsonb"
    world.sql(f"INSERT INTO posts (author_id, text, media) {nested}", author)
    try:
        ran = manage("backfill", "posts", "--restart")
        assert ran.code == 0, ran.said
        assert "1 refused (see the log)" in ran.said
        assert world.count(f"posts_cdc FINAL WHERE author_id = '{author}'") == 3
    finally:
        world.sql("DELETE FROM posts WHERE author_id = %s AND text = 'deep'", author)


def test_with_events_counts_what_was_missed_and_nothing_twice(world: World, apps: Apps) -> None:
    author, members = world.member(), [world.member() for _ in range(5)]
    post = world.post(author)
    like = "INSERT INTO likes (user_id, post_id) VALUES (%s, %s)"
    for member in members[:3]:
        world.sql(like, member, post)
    wait_until(lambda: world.counters(post)["likes"] == 3, "three likes counted")
    apps.process("cdc").stop()
    try:
        for member in members[3:]:
            world.sql(like, member, post)
        for _ in range(2):
            ran = manage("backfill", "likes", "--restart", "--with-events")
            assert ran.code == 0, ran.said
        wait_until(lambda: world.counters(post)["likes"] == 5, "all likes counted")
    finally:
        apps.restart("cdc")
    # The stream brings the two likes that the backfill has counted already, and then one more.
    world.sql(like, author, post)
    wait_until(lambda: world.counters(post)["likes"] >= 6, "the like after it")
    wait_until(lambda: same(world, [*members, author]), "the same rows in both")
    time.sleep(1)
    assert world.counters(post)["likes"] == 6
