"""Whom a new post reaches: which followers are told, and how many posts are new in a feed."""

from uuid import UUID

import pytest

from community.models import Follow
from ingestion import effects
from nova import clock, generations, redis
from ranking import building, pipeline, snapshot
from tests.feeds import Feeds, ids, invalidate, lose, member

pytest_plugins = ["tests.ranking_fixtures"]


def followers_with_feeds(author: UUID, count: int, make_member, algo: str) -> list[UUID]:
    followers = [make_member() for _ in range(count)]
    for follower in followers:
        Follow.objects.create(follower_id=follower, followee_id=author)
        pipeline.page(follower, limit=5, algo=algo)
    return followers


@pytest.mark.parametrize("algo", ["ch", "time"])
def test_who_has_many_followers_leaves_room_for_those_of_others(feeds: Feeds, make_member, settings, algo) -> None:
    settings.FANOUT_BOUND = 3
    famous, other, stranger = make_member(), make_member(), make_member()
    many = followers_with_feeds(famous, 8, make_member, algo)
    few = followers_with_feeds(other, 2, make_member, algo)
    pipeline.page(stranger, limit=5, algo=algo)
    effects.announce(effects.Effects(authors={famous, other}), now=clock.now())
    told = [viewer for viewer in (*many, *few, stranger) if generations.of(viewer)]
    assert (len(set(many) & set(told)), set(told) - set(many)) == (3, set(few))


def test_of_very_many_authors_each_gets_a_part(feeds: Feeds, make_member, settings) -> None:
    settings.FANOUT_BOUND = 3
    authors = [make_member() for _ in range(6)]
    followers = [followers_with_feeds(author, 3, make_member, "ch") for author in authors]
    effects.announce(effects.Effects(authors=set(authors)), now=clock.now())
    assert [sum(map(generations.of, some)) for some in followers] == [2] * 6


@pytest.mark.parametrize("make", [lambda viewer: pipeline.page(viewer, limit=5), pipeline.rank])
def test_a_post_that_comes_while_a_feed_is_made_makes_it_anew(feeds: Feeds, make_member, monkeypatch, make) -> None:
    viewer, author = make_member(), make_member()
    Follow.objects.create(follower_id=viewer, followee_id=author)
    feeds.follow(viewer, author)
    feeds.post(author)
    gather, late = building.candidates.gather, []

    def overtaken(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        found = gather(*given)
        late.append(str(feeds.post(author, hours_ago=0)))
        effects.announce(effects.Effects(authors={author}), now=clock.now())
        return found

    monkeypatch.setattr(building.candidates, "gather", overtaken)
    make(viewer)
    assert late[0] in [post["id"] for post in pipeline.page(viewer, limit=5).posts]


def test_how_many_posts_are_newer(feeds: Feeds, viewer: UUID) -> None:
    before = pipeline.page(viewer, limit=5)
    assert pipeline.newer(viewer, before.snapshot) == 0
    author = member()
    feeds.posts(author, hours_ago=[-0.01, 0.1, 0.2])
    feeds.follow(viewer, author)
    invalidate(viewer)
    assert pipeline.newer(viewer, before.snapshot) == 3
    lose(viewer, before.snapshot)
    redis.cache().delete(f"{snapshot.key(str(viewer), before.snapshot)}:ids")
    # Nobody remembers what it had: what is younger than it is new.
    assert pipeline.newer(viewer, before.snapshot) == 1
    with pytest.raises(ValueError, match="no snapshot"):
        pipeline.newer(viewer, "yesterday")


@pytest.mark.parametrize("size", [10, 57])
def test_what_moves_up_behind_posts_that_were_seen_is_not_newer(
    feeds: Feeds, viewer: UUID, settings, size: int
) -> None:
    """The feed is full, and others stand behind it: few, so that what was seen is in it still, or many."""
    settings.SNAPSHOT_POSTS = size
    before = pipeline.page(viewer, limit=5)
    whole = ids(pipeline.page(viewer, limit=100))
    for post in before.posts:
        feeds.act(viewer, UUID(post["id"]), "view")
    invalidate(viewer)
    after = pipeline.page(viewer, limit=100)
    assert set(ids(after)) - set(whole)
    assert pipeline.newer(viewer, before.snapshot) == 0
    author = member()
    feeds.follow(viewer, author)
    # One of the future, one that was under way, and one that the viewer could not see before.
    feeds.posts(author, hours_ago=[-0.01, 0, 0.1])
    invalidate(viewer)
    assert pipeline.newer(viewer, before.snapshot) == 2


def test_posts_whose_ids_clients_chose_are_newer_too(feeds: Feeds, viewer: UUID, settings) -> None:
    settings.SNAPSHOT_POSTS = 10
    before = pipeline.page(viewer, limit=5)
    author = member()
    feeds.follow(viewer, author)
    feeds.posts(author, hours_ago=[-0.01, 0, 0.1], by_client=True)
    invalidate(viewer)
    assert pipeline.newer(viewer, before.snapshot) == 2
    lose(viewer, before.snapshot)
    redis.cache().delete(f"{snapshot.key(str(viewer), before.snapshot)}:ids")
    assert pipeline.newer(viewer, before.snapshot) == 1
