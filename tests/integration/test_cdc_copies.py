"""Rows changed in PostgreSQL, as psql would, become the same rows in ClickHouse, through Debezium and our consumer.

The oracle: what `SELECT … FINAL` returns for the members of a test is what PostgreSQL holds for them, and likes and
comments count as often as there are rows.
"""

import random
import threading
import time
from uuid import UUID, uuid4

import psycopg
import pytest

from nova import clickhouse, generations, redis
from tests.apps import Apps
from tests.client import wait_until
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")

# Source, copy, its columns in both, and the column that says whose it is.
COPIES = (
    ("posts", "posts_cdc", "id, author_id, text, created_at, updated_at", "author_id"),
    ("posts", "posts_by_author", "id, author_id, text, created_at", "author_id"),
    ("follows", "follows_cdc", "id, follower_id, followee_id, created_at", "follower_id"),
    ("likes", "likes_cdc", "id, user_id, post_id, post_author_id, created_at", "user_id"),
    ("comments", "comments_cdc", "id, user_id, post_id, post_author_id, text, created_at, updated_at", "user_id"),
    ("blocks", "blocks_cdc", "id, blocker_id, blocked_id, kind, created_at", "blocker_id"),
    ("blocks", "blocks_by_blocked", "blocker_id, blocked_id, kind", "blocker_id"),
)


def rows_here(world: World, table: str, columns: str, owner: str, members: list[UUID]) -> set[tuple]:
    return set(world.sql_rows(f"SELECT {columns} FROM {table} WHERE {owner} = ANY(%s)", members))


def rows_there(copy: str, columns: str, owner: str, members: list[UUID]) -> list[tuple]:
    ids = [str(member) for member in members]
    return clickhouse.query(f"SELECT {columns} FROM {copy} FINAL WHERE {owner} IN {{m:Array(UUID)}}", {"m": ids})


def same(world: World, members: list[UUID]) -> bool:
    """Is every copy what PostgreSQL holds for these members, row by row and none twice?"""
    for table, copy, columns, owner in COPIES:
        there = rows_there(copy, columns, owner, members)
        if len(there) != len(set(there)) or set(there) != rows_here(world, table, columns, owner, members):
            return False
    return True


def counted(world: World, posts: list[UUID]) -> bool:
    """Do likes and comments count exactly as often as there are rows?"""
    for post in posts:
        counters = world.counters(post)
        for table in ("likes", "comments"):
            if counters[table] != world.sql_one(f"SELECT count(*) FROM {table} WHERE post_id = %s", post):
                return False
    return True


class Community:
    """A few members who do what members do, at random but the same for one seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.members = [world.member() for _ in range(5)]
        self.posts = [world.post(self.random.choice(self.members)) for _ in range(6)]
        self.all_posts = list(self.posts)

    def act(self) -> None:
        pick = self.random.choice
        one, other = self.random.sample(self.members, 2)
        post = pick(self.posts)
        sql = self.world.sql
        match self.random.randrange(13):
            case 0:
                self.posts.append(self.world.post(one, media='[{"url": "https://example.org/1.png", "kind": "image"}]'))
                self.all_posts.append(self.posts[-1])
            case 1:
                sql("UPDATE posts SET text = %s, updated_at = now() WHERE id = %s", f"now {uuid4()}", post)
            case 2:
                sql("UPDATE posts SET author_id = %s WHERE id = %s", one, post)
            case 3:
                if len(self.posts) > 3:
                    self.posts.remove(post)
                    sql("DELETE FROM comments WHERE post_id = %s", post)
                    sql("DELETE FROM likes WHERE post_id = %s", post)
                    sql("DELETE FROM posts WHERE id = %s", post)
            case 4 | 5:
                sql("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", one, other)
            case 6:
                sql("DELETE FROM follows WHERE follower_id = %s AND followee_id = %s", one, other)
            case 7 | 8:
                sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", one, post)
            case 9:
                sql("DELETE FROM likes WHERE user_id = %s AND post_id = %s", one, post)
            case 10:
                sql("INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, 'ah 🎈')", one, post)
            case 11:
                sql("DELETE FROM comments WHERE user_id = %s AND post_id = %s", one, post)
            case 12:
                kind = pick(["block", "mute"])
                inserted = (
                    "INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                )
                if not sql(inserted, one, other, kind):
                    sql("DELETE FROM blocks WHERE blocker_id = %s AND blocked_id = %s", one, other)

    def check(self, seconds: float = 60) -> None:
        wait_until(lambda: same(self.world, self.members), "the same rows in ClickHouse", seconds)
        wait_until(lambda: counted(self.world, self.all_posts), "the counts of the rows", seconds)


def test_whatever_members_do_arrives(world: World) -> None:
    community = Community(world, seed=1)
    for _ in range(300):
        community.act()
    community.check()


def test_killed_again_and_again_nothing_is_lost_or_doubled(world: World, apps: Apps) -> None:
    community = Community(world, seed=2)
    over = threading.Event()
    kills = []

    def kill() -> None:
        while not over.is_set():
            apps.process("cdc").kill()
            kills.append(len(community.all_posts))
            apps.restart("cdc")
            time.sleep(1)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while killer.is_alive() and (len(community.all_posts) < 25 or len(kills) < 3):
            community.act()
            time.sleep(0.02)
    finally:
        over.set()
        killer.join()
    community.check()


def test_a_row_from_psql_is_complete(world: World) -> None:
    author = world.member()
    post = world.sql_one("INSERT INTO posts (author_id, text) VALUES (%s, 'from psql') RETURNING id", author)
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{post}' AND media = '[]'"), "the post")


def test_a_key_that_changes_leaves_no_ghost(world: World) -> None:
    a, b, c = (world.member() for _ in range(3))
    posts = [world.post(c), world.post(c)]
    world.follow(a, b)
    world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", a, posts[0])
    wait_until(lambda: world.counters(posts[0])["likes"] == 1, "the like")
    world.sql("UPDATE follows SET followee_id = %s WHERE follower_id = %s", c, a)
    world.sql("UPDATE likes SET post_id = %s WHERE user_id = %s", posts[1], a)
    wait_until(lambda: same(world, [a, b, c]), "the moved rows and no other")
    wait_until(lambda: counted(world, posts), "the like on the other post only")
    assert [world.counters(post)["likes"] for post in posts] == [0, 1]


def test_a_long_text_survives_a_change_of_another_column(world: World) -> None:
    author = world.member()
    text = "".join(uuid4().hex for _ in range(625))
    post = world.post(author, text)
    world.sql("UPDATE posts SET updated_at = now() + interval '1 second' WHERE id = %s", post)
    wait_until(lambda: same(world, [author]), "the changed row")
    assert clickhouse.query("SELECT text FROM posts_cdc FINAL WHERE id = {id:UUID}", {"id": str(post)}) == [(text,)]


def test_interleaved_transactions(world: World, prepared) -> None:
    """The later transaction commits first: positions in the WAL do not tell the order between rows."""
    a, b = world.member(), world.member()
    url = prepared.env["DATABASE_URL"]
    with psycopg.connect(url) as slow, psycopg.connect(url) as quick:
        slow.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", (a, b))
        quick.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", (b, a))
        quick.commit()
        wait_until(lambda: same(world, [b]), "the quick one")
        slow.commit()
    wait_until(lambda: same(world, [a, b]), "both")


def test_many_states_of_one_row_in_one_transaction(world: World, prepared) -> None:
    a, b = world.member(), world.member()
    with psycopg.connect(prepared.env["DATABASE_URL"]) as connection:
        for _ in range(5):
            connection.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", (a, b))
            connection.execute("DELETE FROM follows WHERE follower_id = %s", (a,))
        connection.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", (a, b))
    wait_until(lambda: same(world, [a]), "the last state")
    assert world.count(f"follows_cdc FINAL WHERE follower_id = '{a}'") == 1


def test_feeds_learn_whose_they_are(world: World) -> None:
    author, reader, stranger = (world.member() for _ in range(3))
    world.follow(reader, author)
    world.follow(stranger, author)
    for follower in (reader, stranger):
        wait_until(lambda who=follower: generations.of(who) >= 1, "the follower's feed made stale by the follow")
    # Only those who have a snapshot need to hear of a post.
    redis.cache().set(f"feed:v1:{reader}", b"x", ex=60)
    before, silent = generations.of(reader), generations.of(stranger)
    post = world.post(author)
    wait_until(lambda: generations.of(reader) > before, "the follower's feed made stale by the post")
    assert generations.of(stranger) == silent
    world.sql("DELETE FROM posts WHERE id = %s", post)
    wait_until(lambda: redis.cache().zscore("gone:posts", str(post)), "the deleted post among those not to be shown")
    world.sql("INSERT INTO posts (id, author_id, text) VALUES (%s, %s, 'once more')", post, author)
    wait_until(lambda: not redis.cache().zscore("gone:posts", str(post)), "the post that came again to be shown again")
    blocked = generations.of(author)
    world.sql("INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'block')", reader, author)
    wait_until(lambda: generations.of(author) > blocked, "the blocked one's feed made stale too")
