"""What stands in a feed, and why, on a real ClickHouse."""

import time
from datetime import timedelta
from uuid import UUID

import pytest

from nova import clickhouse
from ranking import candidates, pipeline, trending
from ranking.diversity import FIRST_PLACES
from tests.feeds import Feeds, member
from tests.integration.ranked import ids, read, texts

pytest_plugins = ["tests.ranking_fixtures"]


def test_followees_posts_of_the_last_72_hours(feeds: Feeds) -> None:
    viewer, followee, stranger, former = member(), member(), member(), member()
    feeds.follow(viewer, followee, former)
    feeds.follow(viewer, former, gone=True)
    new, old = feeds.posts(followee, hours_ago=[1, 71])
    feeds.post(followee, hours_ago=73)
    feeds.post(stranger)
    feeds.post(former)
    found = read(feeds, viewer)
    assert [post["id"] for post in found] == texts(new, old)
    assert all(post["sources"] == ["followees"] for post in found)


def test_posts_of_authors_the_viewer_reacted_to(feeds: Feeds) -> None:
    viewer, liked, shared, viewed = member(), member(), member(), member()
    posts = {author: feeds.post(author, hours_ago=100) for author in (liked, shared, viewed)}
    feeds.post(liked, hours_ago=169)
    feeds.act(viewer, feeds.post(liked, hours_ago=300), "like", hours_ago=24)
    feeds.act(viewer, feeds.post(shared, hours_ago=300), "share", times=3, hours_ago=24)
    feeds.act(viewer, feeds.post(viewed, hours_ago=300), "view", hours_ago=24)
    found = read(feeds, viewer)
    assert [post["id"] for post in found] == texts(posts[shared], posts[liked])
    assert [post["inputs"]["interactions"] for post in found] == [3, 1]
    assert all(post["sources"] == ["affinity"] for post in found)


@pytest.mark.parametrize(("followee_hours", "affinity_hours"), [(72, 168), (168, 72), (100, 100)])
def test_either_source_may_look_back_further(feeds: Feeds, settings, followee_hours: int, affinity_hours: int) -> None:
    settings.FOLLOWEE_HOURS, settings.AFFINITY_POST_HOURS = followee_hours, affinity_hours
    viewer, followee, close, both = member(), member(), member(), member()
    feeds.follow(viewer, followee, both)
    for author in (close, both):
        feeds.act(viewer, feeds.post(author, hours_ago=300), "like", hours_ago=24)
    ages = [50.0, 90.0, 150.0]
    wanted = set()
    for author, limit in (
        (followee, followee_hours),
        (close, affinity_hours),
        (both, max(followee_hours, affinity_hours)),
    ):
        posts = feeds.posts(author, hours_ago=ages)
        wanted |= {str(post) for post, age in zip(posts, ages, strict=True) if age < limit}
    assert set(ids(feeds, viewer)) == wanted


@pytest.mark.parametrize("days", [90, 30])
def test_affinity_forgets_after_so_many_days(feeds: Feeds, settings, days: int) -> None:
    """The last of 90 days is the table's TTL's to forget as well; of fewer, the reader's alone."""
    settings.AFFINITY_DAYS = days
    viewer, author = member(), member()
    old = feeds.post(author, hours_ago=2500)
    post = feeds.post(author)
    feeds.follow(viewer, author)
    feeds.act(viewer, old, "like", hours_ago=(days + 1) * 24 + 1)
    assert read(feeds, viewer)[0]["inputs"]["interactions"] == 0
    feeds.act(viewer, old, "like", hours_ago=(days - 2) * 24)
    (found,) = read(feeds, viewer)
    assert (found["id"], found["inputs"]["interactions"]) == (str(post), 1)


def test_an_unlike_takes_the_affinity_back(feeds: Feeds) -> None:
    viewer, author = member(), member()
    post = feeds.post(author)
    feeds.act(viewer, post, "like")
    feeds.act(viewer, post, "unlike")
    assert read(feeds, viewer)[0]["sources"] == ["newest"]


def test_a_new_viewer_gets_what_is_trending(feeds: Feeds) -> None:
    author = member()
    hot, hotter, cold = feeds.posts(author, hours_ago=[5, 6, 1])
    feeds.make_trend(hot)
    feeds.make_trend(hotter, action="comment")
    feeds.act(member(), cold, "like", times=50)
    found = read(feeds, member())
    assert {post["id"] for post in found} == set(texts(hot, hotter))
    assert all(post["sources"] == ["trending"] for post in found)


def test_the_authors_own_reactions_make_no_trend(feeds: Feeds) -> None:
    author = member()
    post = feeds.post(author)
    feeds.act(author, post, "like", times=50)
    feeds.make_trend(post, people=2)
    assert pipeline.trending(member(), "24h", 10, feeds.now).posts == []
    feeds.make_trend(post, people=1)
    (found,) = pipeline.trending(member(), "24h", 10, feeds.now).posts
    assert found["people"] == 3
    assert 2 < found["score"] <= 3


def test_all_that_a_feed_asks_has_one_deadline(feeds: Feeds, monkeypatch, settings) -> None:
    settings.CLICKHOUSE_DEADLINE = 20
    query, left = clickhouse.query, []

    def recorded(*given, timeout: float, **options):
        left.append(timeout)
        time.sleep(0.01)
        return query(*given, timeout=timeout, **options)

    monkeypatch.setattr(clickhouse, "query", recorded)
    feeds.post(member())
    assert read(feeds, member())
    assert len(left) > 3
    assert 0 < min(left) < max(left) <= 20


def test_without_the_jobs_list_what_is_trending_is_worked_out_for_many_readers_at_once(
    feeds: Feeds, monkeypatch
) -> None:
    """It costs more than all the rest of a feed; when Redis has no list, and when the job is late."""
    post = feeds.post(member())
    feeds.make_trend(post)
    find, worked_out = trending.find, []
    monkeypatch.setattr(trending, "find", lambda *given: worked_out.append(1) or find(*given))
    for _ in range(3):
        assert texts(post) == [item["id"] for item in pipeline.page(member(), limit=5, now=feeds.now).posts]
    assert len(worked_out) == 1
    # The job is back: its list is taken at once.
    other = feeds.post(member())
    feeds.make_trend(other, people=5)
    pipeline.refresh_trending("24h", feeds.now)
    assert set(texts(post, other)) == {item["id"] for item in pipeline.page(member(), limit=5, now=feeds.now).posts}


def test_trending_decays_and_keeps_to_its_window(feeds: Feeds) -> None:
    author, viewer = member(), member()
    now, earlier, yesterday = feeds.posts(author, hours_ago=[30, 31, 32])
    feeds.make_trend(yesterday, people=9, hours_ago=26)
    feeds.make_trend(earlier, people=4, hours_ago=12)
    feeds.make_trend(now, people=3)

    def trend(window: str) -> list[str]:
        return [post["id"] for post in pipeline.trending(viewer, window, 10, feeds.now).posts]

    assert trend("1h") == texts(now)
    assert trend("24h") == texts(now, earlier)
    assert trend("7d") == texts(now, earlier, yesterday)


def test_while_nothing_trends_a_new_viewer_gets_the_newest(feeds: Feeds) -> None:
    new, old = feeds.post(member(), hours_ago=100), feeds.post(member(), hours_ago=2000)
    found = read(feeds, member())
    assert [post["id"] for post in found] == texts(new, old)
    assert all(post["sources"] == ["newest"] for post in found)


def test_without_posts_the_feed_is_empty(feeds: Feeds) -> None:
    assert read(feeds, member()) == []


def test_a_post_remembers_all_its_sources(feeds: Feeds) -> None:
    viewer, author = member(), member()
    post = feeds.post(author)
    feeds.follow(viewer, author)
    feeds.act(viewer, post, "like")
    feeds.make_trend(post)
    (found,) = read(feeds, viewer)
    assert (found["id"], found["sources"]) == (str(post), ["followees", "trending", "affinity"])


def test_who_follows_many_gets_the_same(feeds: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, close, hidden = member(), member(), member()
    followees = [member() for _ in range(4)]
    feeds.follow(viewer, *followees, hidden)
    feeds.hide(viewer, hidden, "mute")
    for author in (close, followees[0], hidden):
        feeds.act(viewer, feeds.post(author, hours_ago=300), "like", hours_ago=24)
    posts = [post for author in (*followees, close, hidden) for post in feeds.posts(author, hours_ago=[1, 50, 100])]
    for post in posts[::2]:
        feeds.act(viewer, post, "view")

    def proposed() -> dict[str, tuple[tuple[str, ...], bool]]:
        found = candidates.gather(str(viewer), feeds.now).candidates
        return {one.post.id: (one.sources, one.post.seen) for one in found}

    few = proposed()
    monkeypatch.setattr(candidates, "_MANY", 0)
    assert proposed() == few
    # Two posts of each followee are young enough, three of whoever is close.
    assert len(few) == 3 * 2 + 3 + 3
    assert {*followees, close} == {feeds.rows[UUID(post)]["author_id"] for post in few}


def test_copies_of_one_text_take_no_room(feeds: Feeds, settings) -> None:
    settings.CANDIDATES_PER_SOURCE = 30
    viewer, loud, quiet, closest = member(), member(), member(), member()
    feeds.follow(viewer, loud, quiet)
    feeds.act(viewer, feeds.post(closest, hours_ago=300), "like", hours_ago=24)
    feeds.posts(loud, hours_ago=[hour / 100 for hour in range(60)], text="Buy now!")
    wanted = [*feeds.posts(quiet, hours_ago=[50 + hour for hour in range(20)]), feeds.post(closest, hours_ago=90)]
    found = read(feeds, viewer)
    assert len(found) == 22
    assert {post["id"] for post in found} > set(texts(*wanted))


def test_one_post_per_content(feeds: Feeds) -> None:
    viewer, one, other = member(), member(), member()
    feeds.follow(viewer, one, other)
    feeds.post(one, hours_ago=2, text="Breaking: it rains!")
    best = feeds.post(other, hours_ago=1, text="breaking it rains")
    pictures = [feeds.post(author, hours_ago=9, text="", media=[{"hash": "same"}]) for author in (one, other)]
    found = ids(feeds, viewer)
    assert str(best) in found
    assert len(found) == 2
    assert len(set(found) & set(texts(*pictures))) == 1


def test_an_author_cannot_fill_the_feed(feeds: Feeds) -> None:
    viewer, loud = member(), member()
    quiet = [member() for _ in range(6)]
    feeds.follow(viewer, loud, *quiet)
    feeds.posts(loud, hours_ago=[number / 60 for number in range(20)])
    for author in quiet:
        feeds.posts(author, hours_ago=[20.0, 21.0])
    found = read(feeds, viewer)
    names = [post["author"]["id"] for post in found]
    assert len(names) == 32
    assert names[:FIRST_PLACES].count(str(loud)) == 1
    spread = names[: max(place for place, name in enumerate(names) if name != str(loud))]
    assert all(len(set(spread[place : place + 3])) == 3 for place in range(len(spread) - 2))
    assert any(post["moved_by_diversity"] > 0 for post in found)


def test_the_score_is_worked_out_from_what_is_stored(feeds: Feeds) -> None:
    viewer, author = member(), member()
    feeds.follow(viewer, author)
    post = feeds.post(author, hours_ago=2)
    row = {"post_day": (feeds.now - timedelta(hours=2)).date(), "post_id": post, "views": 0, "clicks": 0}
    feeds.insert("post_counters", row | {"impressions": 5000, "likes": 150, "comments": 30, "shares": 20})
    feeds.act(viewer, feeds.post(author, hours_ago=999), "share", times=10, hours_ago=48)
    (found,) = read(feeds, viewer)
    assert found["counts"] == {"impressions": 5000, "views": 0, "likes": 150, "comments": 30, "shares": 20}
    assert found["freshness"] == pytest.approx(0.819, abs=5e-4)
    assert found["engagement"] == pytest.approx(0.0526, abs=5e-5)
    assert found["affinity"] == pytest.approx(2.398, abs=5e-4)
    assert found["final"] == pytest.approx(0.986, abs=5e-4)


def test_a_clients_own_like_is_not_counted(feeds: Feeds) -> None:
    viewer, author = member(), member()
    feeds.follow(viewer, author)
    post = feeds.post(author)
    feeds.act(member(), post, "like", source="client")
    feeds.act(member(), post, "like", source="service")
    feeds.act(member(), post, "like")
    assert read(feeds, viewer)[0]["counts"]["likes"] == 2
