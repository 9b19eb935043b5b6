"""GET /api/feed/why where PostgreSQL answers: of what ClickHouse has not heard of, and of a feed in order of time."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from community.models import Block, Follow, Post
from ranking import breaker, snapshot
from tests.feeds import Feeds

pytest_plugins = ["tests.ranking_fixtures"]


def changes(said: dict) -> list[str]:
    return [change["code"] for change in said["changes"]]


def test_too_new(feeds: Feeds, make_member, client_of) -> None:
    """ClickHouse has not got the post yet; PostgreSQL tells that it is there, and which rule it breaks."""
    viewer, followee, stranger, blocked, muted = (make_member() for _ in range(5))
    feeds.follow(viewer, followee)
    feeds.post(followee)
    Follow.objects.create(follower_id=viewer, followee_id=followee)
    Block.objects.create(blocker_id=blocked, blocked_id=viewer)
    Block.objects.create(blocker_id=viewer, blocked_id=muted, kind="mute")
    client = client_of(viewer)

    def told(author: UUID) -> tuple:
        post = Post.objects.create(author_id=author, text="just now")
        said = client.get("/api/feed/why", {"post": str(post.id)}).json()
        return said["algorithm"], said["code"], changes(said)

    assert told(followee) == ("ch", "too_new", ["wait"])
    assert told(stranger) == ("ch", "too_new", ["follow_author"])
    assert told(viewer) == ("ch", "own_post", [])
    assert told(blocked) == ("ch", "not_available", [])
    assert told(muted) == ("ch", "muted", ["unmute_author"])


def test_in_order_of_time(client_of, feeds: Feeds, make_member, settings) -> None:
    """Without ClickHouse the rules are fewer, and PostgreSQL's."""
    breaker.clickhouse.force("open", by="a test", reason="")
    viewer, followee, stranger, blocked, muted = (make_member() for _ in range(5))
    for one in (followee, blocked, muted):
        Follow.objects.create(follower_id=viewer, followee_id=one)
    Block.objects.create(blocker_id=blocked, blocked_id=viewer)
    Block.objects.create(blocker_id=viewer, blocked_id=muted, kind="mute")
    settings.SNAPSHOT_POSTS = 1
    posts = {
        code: Post.objects.create(author_id=author, text=code).id
        for code, author in (
            ("below_cut", followee),
            ("in_feed", followee),
            ("not_followed", stranger),
            ("not_available", blocked),
            ("muted", muted),
            ("own_post", viewer),
        )
    }
    client = client_of(viewer)
    said = {code: client.get("/api/feed/why", {"post": str(post)}).json() for code, post in posts.items()}
    assert {code: one["code"] for code, one in said.items()} == {code: code for code in posts}
    assert {one["algorithm"] for one in said.values()} == {"time"}
    shown = Post.objects.get(id=posts["in_feed"])
    threshold = said["below_cut"]["threshold"]
    assert (threshold["post"], threshold["final"]) == (str(shown.id), None)
    assert datetime.fromisoformat(threshold["created_at"]) == shown.created_at
    assert {code for code, one in said.items() if one["threshold"]} == {"below_cut"}
    assert client.get("/api/feed/why", {"post": str(uuid4())}).status_code == 404
    assert snapshot.made_at(said["in_feed"]["snapshot"])


def test_in_order_of_time_what_is_lacking_in_a_feed_with_room_comes_with_the_next(
    feeds: Feeds, make_member, client_of, settings
) -> None:
    settings.FEED_CH_PERCENT = 0
    reader, followee, other = (make_member() for _ in range(3))
    Follow.objects.create(follower_id=reader, followee_id=followee)
    Post.objects.create(author_id=followee, text="one")
    late = Post.objects.create(author_id=other, text="two")
    Post.objects.filter(id=late.id).update(created_at=feeds.now - timedelta(hours=1))
    client = client_of(reader)
    assert len(client.get("/api/feed").json()["posts"]) == 1
    Follow.objects.create(follower_id=reader, followee_id=other)
    said = client.get("/api/feed/why", {"post": str(late.id)}).json()
    assert (said["code"], changes(said)) == ("next_snapshot", ["wait"])
