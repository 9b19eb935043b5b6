"""What never stands in a feed, or last, and takes no room there: hidden, own, deleted and seen posts."""

import pytest

from ingestion import effects
from nova import clock
from ranking import pipeline
from tests.feeds import Feeds, member
from tests.integration.ranked import ids, read, texts

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.mark.parametrize(("kind", "by_viewer"), [("block", True), ("block", False), ("mute", True)])
def test_hidden_authors_appear_in_no_source(feeds: Feeds, kind: str, by_viewer: bool) -> None:
    viewer, hidden = member(), member()
    post = feeds.post(hidden)
    feeds.follow(viewer, hidden)
    feeds.act(viewer, post, "like")
    feeds.make_trend(post)
    assert ids(feeds, viewer) == texts(post)
    feeds.hide(*((viewer, hidden) if by_viewer else (hidden, viewer)), kind)
    assert ids(feeds, viewer) == []
    assert pipeline.trending(viewer, "24h", 10, feeds.now).posts == []


def test_a_mute_works_one_way(feeds: Feeds) -> None:
    viewer, author = member(), member()
    post = feeds.post(author)
    feeds.follow(viewer, author)
    feeds.hide(author, viewer, "mute")
    assert ids(feeds, viewer) == texts(post)


def test_own_posts_never_appear(feeds: Feeds) -> None:
    viewer, other = member(), member()
    own, theirs = feeds.post(viewer), feeds.post(other)
    feeds.make_trend(own)
    feeds.make_trend(theirs)
    feeds.act(viewer, own, "like")
    assert ids(feeds, viewer) == texts(theirs)
    assert [post["id"] for post in pipeline.trending(viewer, "24h", 10, feeds.now).posts] == texts(theirs)


def test_deleted_posts_never_appear(feeds: Feeds) -> None:
    viewer, author = member(), member()
    gone, kept = feeds.posts(author, hours_ago=[1, 2])
    feeds.follow(viewer, author)
    feeds.act(viewer, gone, "like")
    feeds.make_trend(gone)
    feeds.delete(gone)
    assert ids(feeds, viewer) == texts(kept)
    assert pipeline.trending(viewer, "24h", 10, feeds.now).posts == []


def test_a_trending_post_that_was_deleted_is_not_in_the_feed_that_is_made_upon_it(feeds: Feeds) -> None:
    """What is hot was read a moment before, and the followers' feeds are made anew by the deletion itself."""
    viewer, author = member(), member()
    gone, kept = feeds.posts(author, hours_ago=[1, 2])
    feeds.follow(viewer, author)
    feeds.make_trend(gone, kept)
    assert set(ids(feeds, viewer)) == set(texts(gone, kept))
    feeds.delete(gone)
    effects.announce(effects.Effects(gone={gone}, viewers={viewer}), now=clock.now())
    page = pipeline.page(viewer, limit=5, now=feeds.now)
    assert not page.cache_hit
    assert [post["id"] for post in page.posts] == texts(kept)


@pytest.mark.parametrize("sight", [{"action": "view"}, {"action": "click"}, {"action": "impression", "dwell_ms": 1000}])
def test_what_was_seen_follows_the_rest(feeds: Feeds, sight: dict) -> None:
    viewer = member()
    authors = [member() for _ in range(3)]
    first, second, third = (feeds.post(author, hours_ago=hours) for hours, author in enumerate(authors))
    feeds.follow(viewer, *authors)
    feeds.act(viewer, first, **sight)
    feeds.act(viewer, second, "impression", dwell_ms=999)
    feeds.act(viewer, second, "view", hours_ago=7 * 24 + 25)
    found = read(feeds, viewer)
    assert [(post["id"], post["seen"]) for post in found] == [
        (str(second), False),
        (str(third), False),
        (str(first), True),
    ]


def test_seen_posts_leave_room_for_unseen_older_ones(feeds: Feeds, settings) -> None:
    settings.CANDIDATES_PER_SOURCE = 10
    viewer, author = member(), member()
    feeds.follow(viewer, author)
    posts = feeds.posts(author, hours_ago=[hour / 10 for hour in range(40)])
    for post in posts[:25]:
        feeds.act(viewer, post, "view")
    found = read(feeds, viewer)
    assert [post["id"] for post in found] == texts(*posts[25:35])


def test_hidden_authors_take_no_room(feeds: Feeds, settings) -> None:
    settings.CANDIDATES_PER_SOURCE = 10
    viewer, loud, quiet = member(), member(), member()
    feeds.follow(viewer, loud, quiet)
    feeds.posts(loud, hours_ago=[hour / 100 for hour in range(30)])
    wanted = feeds.posts(quiet, hours_ago=[40, 41])
    feeds.hide(viewer, loud, "mute")
    assert ids(feeds, viewer) == texts(*wanted)


@pytest.mark.parametrize("kind", ["block", "mute"])
def test_a_hidden_author_takes_nobodys_place_among_the_closest(feeds: Feeds, settings, kind: str) -> None:
    settings.AFFINITY_AUTHORS = 2
    viewer, first, second, third, fourth = (member() for _ in range(5))
    for times, author in enumerate((fourth, third, second, first), start=1):
        feeds.act(viewer, feeds.post(author, hours_ago=300), "like", times=times, hours_ago=24)
    posts = {author: feeds.post(author, hours_ago=100) for author in (first, second, third, fourth)}
    assert ids(feeds, viewer) == texts(posts[first], posts[second])
    feeds.hide(viewer, first, kind)
    assert ids(feeds, viewer) == texts(posts[second], posts[third])


def test_what_a_viewer_must_not_see_takes_no_room_among_what_is_trending(feeds: Feeds, settings) -> None:
    settings.CANDIDATES_PER_SOURCE = 10
    viewer, loud, followee = member(), member(), member()
    feeds.follow(viewer, followee)
    followed = feeds.post(followee, hours_ago=70)
    for post in feeds.posts(loud, hours_ago=[1 + number / 100 for number in range(11)]):
        feeds.make_trend(post, people=4)
    seen, unseen = feeds.post(member()), feeds.post(member())
    for post in (seen, unseen):
        feeds.make_trend(post, people=3)
    feeds.act(viewer, seen, "view")
    feeds.hide(viewer, loud, "mute")
    assert ids(feeds, viewer) == texts(unseen, followed, seen)
