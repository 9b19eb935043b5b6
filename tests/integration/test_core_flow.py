"""The seven core flows of the founding document, on the real engines and Nova's own processes.

What happens is caused as users cause it (SQL in PostgreSQL, REST calls) and looked at where it should arrive. Other
tests use the same long-lived database: every test makes members and posts of its own.
"""

from typing import Any

import pytest

from nova import clickhouse, redis
from tests.client import event, wait_until
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")


def test_cdc_consumer_reads_changes(world: World) -> None:
    author, reader = world.member(), world.member()
    post = world.sql_one("INSERT INTO posts (author_id, text) VALUES (%s, 'first') RETURNING id", author)
    world.sql("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", reader, author)
    world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", reader, post)
    comment = world.sql_one(
        "INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, 'well said') RETURNING id", reader, post
    )
    world.sql("INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'mute')", author, reader)

    def copies() -> tuple[int, ...]:
        return tuple(
            world.count(f"{table} FINAL WHERE {where}")
            for table, where in (
                ("posts_cdc", f"id = '{post}' AND text = 'first' AND author_id = '{author}'"),
                ("follows_cdc", f"follower_id = '{reader}' AND followee_id = '{author}'"),
                ("likes_cdc", f"user_id = '{reader}' AND post_id = '{post}' AND post_author_id = '{author}'"),
                ("comments_cdc", f"id = '{comment}' AND text = 'well said' AND post_author_id = '{author}'"),
                ("blocks_cdc", f"blocker_id = '{author}' AND blocked_id = '{reader}' AND kind = 'mute'"),
            )
        )

    wait_until(lambda: copies() == (1, 1, 1, 1, 1), "one copy of each row in ClickHouse")

    world.sql("UPDATE posts SET text = 'second' WHERE id = %s", post)
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{post}' AND text = 'second'"), "the changed text")
    world.sql("DELETE FROM follows WHERE follower_id = %s", reader)
    wait_until(lambda: not world.count(f"follows_cdc FINAL WHERE follower_id = '{reader}'"), "the end of the follow")


def test_events_consumer_ingests_events(world: World) -> None:
    author, reader = world.member(), world.member()
    post = world.post(author)
    sent = [event(reader, post, action) for action in ("impression", "view", "click", "share")]
    receipt = world.api.send(reader, *sent)
    assert receipt["accepted"] == 4
    assert receipt["duplicates"] == 0

    ids = [one["event_id"] for one in sent]
    wait_until(lambda: len(world.stored_events(ids)) == 4, "all four events in ClickHouse")
    assert {row["action"] for row in world.stored_events(ids)} == {"impression", "view", "click", "share"}


def test_clickhouse_receives_correct_data(world: World) -> None:
    author, reader = world.member(), world.member()
    post = world.post(author)
    sent = event(reader, post, "view", dwell_ms=1500, device="ios", app_ver="2.5.1")
    world.api.send(reader, sent)
    (row,) = wait_until(lambda: world.stored_events([sent["event_id"]]), "the event")
    assert (str(row["user_id"]), str(row["post_id"])) == (str(reader), str(post))
    # Nobody said who the author is: the intake found it.
    assert str(row["author_id"]) == str(author)
    assert (row["action"], row["source"], row["dwell_ms"]) == ("view", "client", 1500)
    assert (row["device"], row["app_ver"]) == ("ios", "2.5.1")
    assert row["event_time"].isoformat() == sent["event_time"]

    world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", reader, post)
    wait_until(lambda: world.counters(post)["likes"] == 1, "the like in the counters")
    world.api.send(reader, event(reader, post, "impression"), event(reader, post, "like"))
    wait_until(lambda: world.counters(post)["impressions"] == 1, "the impression in the counters")
    # A client's own word for a like is a signal, not a count; the row in the table was the like.
    assert world.counters(post) == {"impressions": 1, "views": 1, "clicks": 0, "likes": 1, "comments": 0, "shares": 0}
    assert world.affinity(reader, author) == 1

    world.sql("DELETE FROM likes WHERE user_id = %s AND post_id = %s", reader, post)
    wait_until(lambda: world.counters(post)["likes"] == 0, "the like taken back")
    # Another view, fed after the counters.
    wait_until(lambda: world.affinity(reader, author) == 0, "the like taken back from the affinity")


def test_feed_api_returns_sorted_posts(world: World) -> None:
    reader = world.member()
    posts = []
    for hours in (30, 3, 0):
        author = world.member()
        world.follow(reader, author)
        posts.append(world.post(author, hours_ago=hours))
    wait_until(lambda: set(map(str, posts)) <= set(world.feed_ids(reader)), "all posts of the followees in the feed")
    page = world.api.feed(reader, "limit=100&explain=1")
    assert page["algorithm"] == "ch"
    mine = [item for item in page["posts"] if item["id"] in set(map(str, posts))]
    # Same counts, nobody's favourites: the youngest comes first.
    assert [item["id"] for item in mine] == [str(post) for post in reversed(posts)]
    unmoved = [item["final"] for item in page["posts"] if not item["moved_by_diversity"]]
    assert unmoved == sorted(unmoved, reverse=True)
    for item in page["posts"]:
        expected = 0.30 * item["freshness"] + 0.40 * item["engagement"] + 0.30 * item["affinity"]
        assert item["final"] == pytest.approx(expected, abs=1e-4)


def test_redis_cache_works(world: World) -> None:
    reader, author = world.member(), world.member()
    world.follow(reader, author)
    post = world.post(author)
    wait_until(lambda: str(post) in world.feed_ids(reader), "the post in the feed")

    def twice() -> tuple[dict[str, Any], dict[str, Any]] | None:
        # What invalidates comes behind the row that the feed shows already, so one snapshot may still be replaced.
        first, again = world.api.feed(reader), world.api.feed(reader)
        return (first, again) if first["cache_hit"] and again["cache_hit"] else None

    first, again = wait_until(twice, "two answers from the cache")
    assert redis.cache().exists(f"feed:v1:{reader}")
    assert again["snapshot"] == first["snapshot"]
    assert again["posts"] == first["posts"]

    redis.cache().delete(f"feed:v1:{reader}")
    after = world.api.feed(reader)
    assert not after["cache_hit"]
    assert after["snapshot"] != first["snapshot"]


def test_dedup_prevents_duplicates(world: World) -> None:
    reader, author = world.member(), world.member()
    post = world.post(author)
    twice = event(reader, post, "impression")
    # Twice in one request, once more in another: the ids are the clients' promise that it is the same event.
    receipt = world.api.send(reader, twice, twice)
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 1)
    world.api.send(reader, twice)
    last = event(reader, post, "impression")
    world.api.send(reader, last)
    # The same member's events keep their order: when the last is there, the repeats before it have been dealt with.
    wait_until(lambda: world.stored_events([last["event_id"]]), "the event sent last")
    wait_until(lambda: world.counters(post)["impressions"] >= 2, "both in the counters")
    assert len(world.stored_events([twice["event_id"]])) == 1
    assert world.counters(post)["impressions"] == 2


def test_full_event_to_feed_flow(world: World) -> None:
    reader, author, fans = world.member(), world.member(), [world.member() for _ in range(3)]
    world.follow(reader, author)
    post = str(world.post(author))
    wait_until(lambda: post in world.feed_ids(reader), "the post in the follower's feed")

    def explained() -> dict:
        return next(item for item in world.api.feed(reader, "limit=100&explain=1")["posts"] if item["id"] == post)

    before = explained()
    for fan in fans:
        world.api.send(fan, event(fan, world.uuid(post), "impression"))
        world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", fan, world.uuid(post))
    world.sql("INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, 'yes')", reader, world.uuid(post))

    def counted() -> dict | None:
        # What others do makes no feed stale at once: the soft age does. A staff member would not wait for it either.
        redis.cache().delete(f"feed:v1:{reader}")
        item = explained()
        # The viewer's own acts and the posts' counts are asked one after the other, and the comment may come between.
        there = item["counts"]["likes"] == 3 and item["counts"]["comments"] == 1 and item["affinity"] > 0
        return item if there else None

    assert before["affinity"] == 0
    after = wait_until(counted, "the likes and the comment in the feed, and its author nearer")
    assert after["engagement"] > before["engagement"]
    assert after["final"] > before["final"]
    # Three impressions, three likes, one comment: each once.
    assert clickhouse.query("SELECT count() FROM events WHERE post_id = {id:UUID}", {"id": post})[0][0] == 7
