"""verify_sync puts right what likes and comments count where no message can: rows that come again, or move in time."""

from uuid import UUID

import pytest

from tests.client import wait_until
from tests.integration.commands import manage, verify
from tests.integration.ingest import Tail
from tests.integration.test_cdc_copies import Community
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")
pytest_plugins = ("tests.community_fixtures",)


def test_a_row_that_comes_again_under_its_old_id_counts_again(world: World, community: Community, tail: Tail) -> None:
    """As after a restore, or TRUNCATE and COPY: its events' ids are known, so only the repair can count it."""
    a, b, *_ = community.members
    one, other = community.posts[:2]
    rows = {
        table: world.sql_rows(f"SELECT {columns} FROM {table} WHERE post_id = ANY(%s)", [one, other])
        for table, columns in COLUMNS.items()
    }
    assert reactions(world, one, other) == (2, 2)
    for _ in range(2):
        # Twice, since the repair must count again too.
        world.sql("DELETE FROM likes WHERE user_id = %s AND post_id = %s", a, one)
        world.sql("DELETE FROM comments WHERE user_id = %s AND post_id = %s", b, other)
        wait_until(lambda: copied(world, one, other) == (1, 1), "the deletions in the copies")
        repaired = manage("verify_sync", "--patience", "3", "--repair")
        assert repaired.code in (0, 2), repaired.said
        wait_until(lambda: reactions(world, one, other) == (1, 1), "the deletions counted")
        for table, columns in COLUMNS.items():
            for row in rows[table]:
                world.sql(
                    f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(row))}) ON CONFLICT DO NOTHING",
                    *row,
                )
        wait_until(lambda: copied(world, one, other) == (2, 2), "the rows in the copies")
        tail.wait()
        assert reactions(world, one, other) == (1, 1), "control: by themselves they do not count again"
        told = manage("verify_sync", "--patience", "3")
        assert told.code == 1, told.said
        assert f"likes of post {one}: 1 counted too seldom" in told.said
        assert f"comments of post {other}: 1 counted too seldom" in told.said
        repaired = manage("verify_sync", "--patience", "3", "--repair")
        assert repaired.code == 2, repaired.said
        assert reactions(world, one, other) == (2, 2)
    assert verify()[:2] == (0, {})
    community.check()


COLUMNS = {
    "likes": "id, user_id, post_id, post_author_id, created_at",
    "comments": "id, user_id, post_id, post_author_id, text, created_at, updated_at",
}


def copied(world: World, one: UUID, other: UUID) -> tuple[int, int]:
    """Likes of one post and comments of the other in the copies."""
    return (
        world.count(f"likes_cdc FINAL WHERE post_id = '{one}'"),
        world.count(f"comments_cdc FINAL WHERE post_id = '{other}'"),
    )


def reactions(world: World, one: UUID, other: UUID) -> tuple[int, int]:
    """The same as they are counted."""
    return world.counters(one)["likes"], world.counters(other)["comments"]


def test_a_reaction_whose_time_was_changed_counts_once_and_stays_so(world: World, tail: Tail) -> None:
    author, fan = world.member(), world.member()
    post = world.post(author, hours_ago=30)
    since = "date_trunc('day', now()) - interval '2 hours'"
    world.sql(f"INSERT INTO likes (user_id, post_id, created_at) VALUES (%s, %s, {since})", fan, post)
    wait_until(lambda: world.counters(post)["likes"] == 1, "the like")
    for hours in (1, 24):
        world.sql(f"UPDATE likes SET created_at = created_at - interval '{hours} hours' WHERE user_id = %s", fan)
        moved = f"likes_cdc FINAL WHERE user_id = '{fan}' AND created_at = '{_stored(world, fan)}'"
        wait_until(lambda moved=moved: world.count(moved) == 1, "the change")
        codes = []
        for _ in range(2):
            codes.append(manage("verify_sync", "likes", "--repair", "--patience", "8").code)
            tail.wait()
            assert world.counters(post)["likes"] == 1
        assert codes == [2, 0]


def _stored(world: World, fan: UUID) -> str:
    written = "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return str(world.sql_one(f"SELECT {written} FROM likes WHERE user_id = %s", fan))


def test_a_reaction_of_the_future_is_counted_when_its_time_has_come(world: World, tail: Tail) -> None:
    author, fan = world.member(), world.member()
    post = world.post(author)
    world.sql("INSERT INTO likes (user_id, post_id, created_at) VALUES (%s, %s, now() + interval '2 days')", fan, post)
    wait_until(lambda: world.count(f"likes_cdc FINAL WHERE user_id = '{fan}'") == 1, "the like")
    before = world.sql_one("SELECT count(*) FROM dead_letters")
    assert manage("verify_sync", "likes", "--repair", "--patience", "4").code == 0
    tail.wait()
    assert world.sql_one("SELECT count(*) FROM dead_letters") == before
    assert world.counters(post).get("likes", 0) == 0
    world.sql("UPDATE likes SET created_at = now() - interval '1 minute' WHERE user_id = %s", fan)
    moved = f"likes_cdc FINAL WHERE user_id = '{fan}' AND created_at < now()"
    wait_until(lambda: world.count(moved) == 1, "the change")
    assert manage("verify_sync", "likes", "--repair", "--patience", "8").code == 2
    tail.wait()
    assert world.counters(post)["likes"] == 1
