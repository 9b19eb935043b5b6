"""Case 41: TRUNCATE, which says nothing of the rows that it removes."""

import json
import signal
import time
from uuid import uuid4

from confluent_kafka import Producer

from tests.client import wait_until
from tests.integration.alone.stack import COPIES, Alone, same_soon


def test_truncate_leaves_no_ghosts_and_takes_the_likes_back(alone: Alone) -> None:
    author, reader = alone.member(), alone.member()
    posts = [alone.post(author) for _ in range(20)]
    for post in posts:
        alone.like(reader, post)
    wait_until(lambda: all(alone.has(post) for post in posts), "the posts")
    wait_until(lambda: all(alone.likes(post) == 1 for post in posts), "the likes")
    alone.sql("TRUNCATE likes, comments, posts")
    after = alone.post(author)
    alone.like(reader, after)
    for copy in (*COPIES, "likes_cdc"):
        wait_until(lambda copy=copy: alone.ask(f"SELECT count() FROM {copy} FINAL") == 1, f"only the new row in {copy}")
    wait_until(lambda: all(alone.likes(post) == 0 for post in posts), "no like of the truncated ones")
    wait_until(lambda: alone.likes(after) == 1, "the like after it")
    assert alone.has(after)


def test_a_row_that_a_truncate_has_overtaken_is_deleted(alone: Alone) -> None:
    """It waited in another partition while the TRUNCATE was read."""
    user, post, row = uuid4(), uuid4(), uuid4()
    [(now,)] = alone.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    after = {
        "id": str(row),
        "user_id": str(user),
        "post_id": str(post),
        "post_author_id": str(uuid4()),
        "created_at": now,
    }
    producer = Producer({"bootstrap.servers": alone.stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    message = {"op": "c", "before": None, "after": after, "source": {"table": "likes", "lsn": 8}}
    producer.produce("nova.public.likes", json.dumps(message).encode())
    producer.flush(10)
    # The row itself may have been merged away by now; its deletion stays.
    wait_until(lambda: alone.ask(f"SELECT sum(is_deleted) FROM likes_cdc WHERE id = '{row}'") == 1, "its deletion")
    assert alone.ask(f"SELECT count() FROM likes_cdc FINAL WHERE id = '{row}'") == 0
    wait_until(lambda: alone.ask(f"SELECT count() FROM events WHERE post_id = '{post}'") == 2, "a like and an unlike")
    assert alone.likes(post) == 0


def test_a_ghost_is_seen_by_the_comparison(alone: Alone) -> None:
    """Negative control: a row that a TRUNCATE should have deleted is a difference."""
    same_soon(alone)
    alone.rows(
        "INSERT INTO posts_cdc (id, author_id, text, media, version)"
        f" SELECT toUUID('{uuid4()}'), toUUID('{uuid4()}'), 'a ghost', '[]', 8"
    )
    assert alone.verify("posts") == (1, {"posts_cdc": (0, 1, 0), "posts_by_author": (0, 1, 0)})
    assert alone.verify("posts", "--repair")[0] == 2


def test_feeds_are_made_anew(alone: Alone) -> None:
    """A feed lives for an hour here, so only being told makes it change. Who follows nobody gets the newest of all."""
    author, stranger, reader = (alone.member() for _ in range(3))
    posts, others = ({str(alone.post(who)) for _ in range(3)} for who in (author, stranger))
    follow = "INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)"
    alone.sql(follow, reader, author)
    wait_until(lambda: alone.feed(reader) == posts, "the followed author's posts alone")
    alone.sql("TRUNCATE follows")
    wait_until(lambda: others <= alone.feed(reader), "the feed of one who follows nobody")
    alone.sql(follow, reader, author)
    wait_until(lambda: alone.feed(reader) == posts, "the followed author's posts again")
    alone.sql("TRUNCATE likes, comments, posts")
    wait_until(lambda: not alone.feed(reader), "an empty feed")


def test_in_the_middle_of_a_backfill(alone: Alone) -> None:
    """What was read before it stays deleted, what was made after it lives, and each like counts once."""
    author, readers = alone.member(), [alone.member() for _ in range(40)]
    old, new = alone.post(author), alone.post(author)
    for reader in readers:
        alone.like(reader, old)
    wait_until(lambda: alone.likes(old) == 40, "the likes")
    process = alone.begin("backfill", "likes", "--restart", "--with-events", "--batch", "4", "--rate", "4")
    begun = "SELECT * FROM backfill_progress WHERE \"table\" = 'likes' AND rows >= 8 AND finished_at IS NULL"
    wait_until(lambda: alone.sql(begun), "some pieces")
    # The barrier is there before the backfill reads what was made after it, and that before the stream brings it.
    process.send_signal(signal.SIGSTOP)
    alone.sql("TRUNCATE likes")
    wait_until(lambda: alone.ask("SELECT count() FROM likes_cdc FINAL") == 0, "the copy empty")
    alone.stack.engine("connect").freeze()
    try:
        for reader in readers[:10]:
            alone.like(reader, new)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=120)
    finally:
        alone.stack.engine("connect").thaw()
    assert process.returncode == 0, said
    assert "likes was truncated: beginning anew" in said
    wait_until(lambda: alone.likes(old) == 0, "the truncated likes taken back")
    wait_until(lambda: alone.ask("SELECT count() FROM likes_cdc FINAL") == 10, "the likes after it")
    same_soon(alone)
    time.sleep(1)
    assert alone.likes(new) == 10
