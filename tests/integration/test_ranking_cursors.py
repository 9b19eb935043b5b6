"""Pages on a real Redis: they neither repeat nor skip, and leave out what was deleted or hidden since."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from community import selectors
from community.models import Block
from ingestion import effects
from nova import clock, redis
from nova.errors import Transient
from nova.hidings import Hiding
from ranking import candidates, pipeline, snapshot
from tests.feeds import Feeds, ids, invalidate, lose, member

pytest_plugins = ["tests.ranking_fixtures"]


def rest(viewer: UUID, cursor: str | None, limit: int = 7, **options) -> list[str]:
    found = []
    while cursor:
        page = pipeline.page(viewer, limit=limit, cursor=cursor, **options)
        found += ids(page)
        cursor = page.cursor
    return found


def test_pages_neither_repeat_nor_skip(viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    first = pipeline.page(viewer, limit=7)
    assert ids(first) + rest(viewer, first.cursor) == whole
    assert len(set(whole)) == 60


def test_pages_go_on_in_their_snapshot_while_new_ones_are_made(feeds: Feeds, viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    page = pipeline.page(viewer, limit=7)
    found = ids(page)
    while page.cursor:
        author = member()
        feeds.post(author, hours_ago=0)
        feeds.follow(viewer, author)
        pipeline.rank(viewer)
        page = pipeline.page(viewer, limit=7, cursor=page.cursor)
        assert not page.snapshot_replaced
        found += ids(page)
    assert found == whole


def test_when_the_snapshot_is_gone_pages_go_on_without_what_was_shown(feeds: Feeds, viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    first = pipeline.page(viewer, limit=20)
    lose(viewer, first.snapshot)
    author = member()
    new = feeds.post(author, hours_ago=0)
    feeds.follow(viewer, author)
    second = pipeline.page(viewer, limit=20, cursor=first.cursor)
    assert second.snapshot_replaced
    # What ranks above is new: it belongs to the first page.
    assert str(new) not in ids(second)
    # And once more, so that what was shown of both is known.
    lose(viewer, second.snapshot)
    third = pipeline.page(viewer, limit=20, cursor=second.cursor)
    assert third.snapshot_replaced
    found = ids(first) + ids(second) + ids(third) + rest(viewer, third.cursor)
    assert sorted(found) == sorted(whole)


@pytest.mark.parametrize("limit", [3, 20])
def test_when_nobody_remembers_what_was_shown_that_moment_is_ranked_again(
    feeds: Feeds, viewer: UUID, limit: int
) -> None:
    talkative = member()
    feeds.posts(talkative, hours_ago=[0.1, 0.2, 0.3, 0.4, 5.1, 5.2])
    feeds.follow(viewer, talkative)
    page = pipeline.page(viewer, limit=limit)
    whole, found = ids(pipeline.page(viewer, limit=100)), ids(page)
    # Diversity has moved posts: by their scores alone some would come twice, and some not at all.
    assert any(post["moved_by_diversity"] for post in pipeline.page(viewer, limit=100, explain=True).posts)
    while page.cursor:
        redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
        # Somebody has read the feed since, by the scores of now.
        pipeline.page(viewer, limit=1, now=clock.now() + timedelta(minutes=10))
        page = pipeline.page(viewer, limit=limit, cursor=page.cursor)
        assert page.snapshot_replaced
        found += ids(page)
    assert found == whole


def test_when_nobody_remembers_and_the_feed_has_changed_nothing_comes_twice_and_all_comes(
    feeds: Feeds, viewer: UUID
) -> None:
    """Whoever is deleted lets posts that diversity had moved down move up again, past the reader's place."""
    talkative = member()
    feeds.posts(talkative, hours_ago=[0.1, 0.2, 0.3, 0.4, 5.1, 5.2])
    feeds.follow(viewer, talkative)
    whole = ids(pipeline.page(viewer, limit=100))
    page = pipeline.page(viewer, limit=5)
    found, gone = ids(page), set()
    while page.cursor:
        redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
        gone |= {found[-1], found[-4]}
        for post in (found[-1], found[-4]):
            feeds.delete(UUID(post))
        new = feeds.post(talkative, hours_ago=-0.01)
        page = pipeline.page(viewer, limit=5, cursor=page.cursor)
        assert str(new) not in ids(page)
        found += ids(page)
    assert len(found) == len(set(found))
    assert set(found) == set(whole)


@pytest.mark.parametrize("count", [30, 200])
def test_when_nobody_remembers_what_came_since_takes_no_room(feeds: Feeds, settings, count: int) -> None:
    """Whoever scrolls on after a night, when there are more new posts than the sources propose."""
    settings.CANDIDATES_PER_SOURCE = settings.SNAPSHOT_POSTS = 20
    viewer, authors = member(), [member() for _ in range(4)]
    feeds.follow(viewer, *authors)
    for number, author in enumerate(authors):
        feeds.make_trend(*feeds.posts(author, hours_ago=[1 + number + 5 * turn for turn in range(8)]))
    first = pipeline.page(viewer, limit=5)
    whole = ids(pipeline.page(viewer, limit=100))
    assert len(whole) == 20
    redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
    for author in authors:
        feeds.make_trend(*feeds.posts(author, hours_ago=[-0.1 - 0.001 * number for number in range(count // 4)]))
    candidates.forget()
    assert ids(first) + rest(viewer, first.cursor) == whole


@pytest.mark.django_db
def test_when_nobody_remembers_clickhouse_is_tried_once(viewer: UUID, monkeypatch) -> None:
    """A frozen one takes the reader a deadline each time, and the breaker counts each."""
    first = pipeline.page(viewer, limit=5)
    redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
    tries = []

    def hang(*_: object) -> None:
        tries.append(1)
        raise Transient("ClickHouse took longer than the deadline")

    monkeypatch.setattr(candidates, "gather", hang)
    assert pipeline.page(viewer, limit=5, cursor=first.cursor).algorithm == "time"
    assert tries == [1]


def test_posts_deleted_since_are_taken_out_and_the_page_filled(viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    redis.cache().zadd(snapshot.GONE, dict.fromkeys(whole[1:4], 1.0))
    page = pipeline.page(viewer, limit=10, explain=True)
    assert ids(page) == [whole[0], *whole[4:13]]
    assert all("final" in post for post in page.posts)
    assert ids(page) + rest(viewer, page.cursor) == [whole[0], *whole[4:]]


@pytest.mark.parametrize("blocked_by_viewer", [True, False])
def test_authors_hidden_since_are_taken_out_of_old_pages(feeds: Feeds, make_member, blocked_by_viewer: bool) -> None:
    viewer, hidden, others = make_member(), make_member(), [member() for _ in range(4)]
    feeds.follow(viewer, hidden, *others)
    for author in (hidden, *others):
        feeds.posts(author, hours_ago=[1.0, 2.0, 3.0, 4.0])
    whole = pipeline.page(viewer, limit=100)
    first = pipeline.page(viewer, limit=5)
    pair = (viewer, hidden) if blocked_by_viewer else (hidden, viewer)
    Block.objects.create(blocker_id=pair[0], blocked_id=pair[1])
    invalidate(viewer)
    second = pipeline.page(viewer, limit=5, cursor=first.cursor)
    assert len(second.items) == 5
    kept = [post["id"] for post in whole.posts[5:] if post["author"]["id"] != str(hidden)]
    assert ids(second) + rest(viewer, second.cursor) == kept


@pytest.mark.parametrize("was_hidden_twice", [False, True])
def test_while_postgresql_does_not_answer_redis_knows_who_was_hidden_lately(
    feeds: Feeds, make_member, monkeypatch, was_hidden_twice: bool
) -> None:
    viewer, hidden, other = make_member(), make_member(), member()
    feeds.follow(viewer, hidden, other)
    for author in (hidden, other):
        feeds.posts(author, hours_ago=[1.0, 2.0, 3.0, 4.0])
    first = pipeline.page(viewer, limit=2)
    block, mute = Hiding(viewer, hidden, uuid4()), Hiding(viewer, hidden, uuid4())
    changes = {block: True} | ({mute: True} if was_hidden_twice else {})
    effects.announce(effects.Effects(viewers={viewer}, hidings=changes), now=clock.now())

    def hang(_: UUID) -> set[UUID]:
        raise OperationalError("it does not answer")

    def authors_of_page_two() -> set[str]:
        page = pipeline.page(viewer, limit=10, cursor=first.cursor)
        return {post["author"]["id"] for post in page.posts}

    monkeypatch.setattr(selectors, "hidden_authors", hang)
    assert authors_of_page_two() == {str(other)}
    effects.announce(effects.Effects(hidings={block: False}), now=clock.now())
    assert authors_of_page_two() == ({str(other)} if was_hidden_twice else {str(other), str(hidden)})


def test_emptied_posts_are_in_no_page_any_more(feeds: Feeds, viewer: UUID) -> None:
    first = pipeline.page(viewer, limit=5)
    for post in feeds.rows:
        feeds.delete(post)
    emptied = effects.Effects()
    emptied.truncated("posts")
    effects.announce(emptied, now=clock.now())
    assert pipeline.page(viewer, limit=5, cursor=first.cursor).items == ()
    assert not redis.cache().exists(snapshot.key(str(viewer), snapshot.LAST_GOOD))
    assert pipeline.page(viewer, limit=5).items == ()
