"""The feed in order of time: what is taken out leaves no gap, however much of the newest it is."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import OperationalError, connection

from community import selectors
from community.models import Block, Follow, Post
from nova import redis
from ranking import pipeline, seen
from tests.feeds import Feeds

pytest_plugins = ["tests.ranking_fixtures"]

LENGTH = 10


@pytest.fixture(autouse=True)
def short(settings) -> None:
    settings.SNAPSHOT_POSTS = LENGTH


@pytest.fixture
def write(feeds: Feeds):
    def posts(author: UUID, count: int, *, hours_ago: float) -> list[str]:
        """Posts of an author, a minute apart, newest first."""
        rows = Post.objects.bulk_create(Post(author_id=author, text=f"post {number}") for number in range(count))
        for number, row in enumerate(rows):
            row.created_at = feeds.now - timedelta(hours=hours_ago, minutes=number)
        Post.objects.bulk_update(rows, ["created_at"])
        return [str(row.id) for row in rows]

    return posts


def shown(viewer: UUID) -> list[str]:
    return [post["id"] for post in pipeline.page(viewer, limit=LENGTH, algo="time").posts]


@pytest.mark.parametrize("count", [2 * LENGTH, 20 * LENGTH])
@pytest.mark.parametrize("follows", [True, False])
def test_the_newest_are_all_of_hidden_authors(feeds: Feeds, make_member, write, follows: bool, count: int) -> None:
    viewer, blocked, blocker, muted, other = (make_member() for _ in range(5))
    for author in (blocked, blocker, muted, viewer):
        write(author, count, hours_ago=1)
    wanted = write(other, LENGTH + 1, hours_ago=50)
    Block.objects.create(blocker_id=viewer, blocked_id=blocked)
    Block.objects.create(blocker_id=blocker, blocked_id=viewer)
    Block.objects.create(blocker_id=viewer, blocked_id=muted, kind="mute")
    if follows:
        for author in (muted, other):
            Follow.objects.create(follower_id=viewer, followee_id=author)
    assert shown(viewer) == wanted[:LENGTH]


@pytest.mark.parametrize("count", [LENGTH, 5 * LENGTH])
@pytest.mark.parametrize("follows", [True, False])
def test_the_newest_were_all_seen(feeds: Feeds, make_member, write, follows: bool, count: int) -> None:
    viewer, author = make_member(), make_member()
    if follows:
        Follow.objects.create(follower_id=viewer, followee_id=author)
    newest, older = write(author, count, hours_ago=1), write(author, LENGTH - 2, hours_ago=9)
    redis.cache().zadd(seen.key(str(viewer)), dict.fromkeys(newest, feeds.now.timestamp()))
    assert shown(viewer) == older + newest[:2]


@pytest.mark.parametrize(
    ("media", "known"),
    [
        (f'[{{"size": {10**30}}}]', [{"size": 1e30}]),
        (f'[{{"size": {10**400}}}]', []),
        ("[" * 500 + "]" * 500, []),
        ("[" * 3000 + "]" * 3000, []),
        ('{"url": "https://media.example/1.jpg"}', []),
        ('[7, {"url": "https://media.example/1.jpg"}]', [{"url": "https://media.example/1.jpg"}]),
        ("null", []),
    ],
    ids=["more than 64 bits", "more than a double", "deep", "very deep", "an object", "a number", "null"],
)
@pytest.mark.parametrize("follows", [True, False])
def test_what_psql_wrote_into_media_takes_nobody_the_feed(
    feeds: Feeds, make_member, write, follows: bool, media: str, known: list
) -> None:
    viewer, author = make_member(), make_member()
    if follows:
        Follow.objects.create(follower_id=viewer, followee_id=author)
    odd, plain = write(author, 2, hours_ago=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE posts SET media = %s::jsonb WHERE id = %s", [media, odd])
    posts = pipeline.page(viewer, limit=LENGTH, algo="time").posts
    assert [(post["id"], post["media"]) for post in posts] == [(odd, known), (plain, [])]


def test_reactions_that_cannot_be_counted_in_time_take_nobody_the_feed(
    feeds: Feeds, make_member, write, monkeypatch
) -> None:
    """PostgreSQL gives up counting the millions of likes of a post long after it has found the post."""
    viewer, author = make_member(), make_member()
    Follow.objects.create(follower_id=viewer, followee_id=author)
    posts = write(author, 2, hours_ago=1)

    def in_vain(_: object) -> None:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(selectors, "reaction_counts", in_vain)
    assert shown(viewer) == posts


@pytest.mark.parametrize("follows", [True, False])
def test_when_nobody_remembers_the_snapshot_what_came_since_takes_no_room(
    feeds: Feeds, make_member, write, follows: bool
) -> None:
    viewer, author = make_member(), make_member()
    if follows:
        Follow.objects.create(follower_id=viewer, followee_id=author)
    posts = write(author, LENGTH, hours_ago=1)
    first = pipeline.page(viewer, limit=4, algo="time")
    redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
    write(author, 2 * LENGTH, hours_ago=-1)
    second = pipeline.page(viewer, limit=LENGTH, cursor=first.cursor)
    assert [post["id"] for post in (*first.posts, *second.posts)] == posts
