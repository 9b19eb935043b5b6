"""Whom the job suggests, on a real ClickHouse and Redis."""

from typing import Any
from uuid import UUID

import orjson

from nova import redis
from ranking import suggestions
from tests.feeds import Feeds, member

pytest_plugins = ["tests.ranking_fixtures"]


def refresh(feeds: Feeds, **options) -> suggestions.Report:
    return suggestions.refresh(feeds.now, **{"left": lambda: 120.0, **options})


def kept(viewer: UUID) -> list[list]:
    """[id, score, mutual, shared, friends] of each suggestion, as kept."""
    value = redis.cache().get(suggestions.key(viewer))
    assert value is not None
    said = orjson.loads(value)
    return [[*row[:4], [said["friends"][at] for at in row[4]]] for row in said["users"]]


def ids(viewer: UUID) -> list[str]:
    return [row[0] for row in kept(viewer)]


def test_friends_of_friends_with_the_reason(feeds: Feeds) -> None:
    viewer, anna, bob, popular, rare = (member() for _ in range(5))
    feeds.follow(viewer, anna, bob)
    feeds.follow(anna, popular)
    feeds.follow(bob, popular, rare)
    report = refresh(feeds)
    first, second = kept(viewer)
    assert (first[0], first[1], first[2]) == (str(popular), 2.0, 2)
    assert set(first[4]) == {str(anna), str(bob)}
    assert second == [str(rare), 1.0, 1, 0, [str(bob)]]
    assert report.after is None
    # Whoever follows somebody gets a list, also when it is empty.
    assert report.viewers == 3
    assert kept(anna) == []


def test_oneself_the_followed_and_the_hidden_are_not_suggested(feeds: Feeds) -> None:
    viewer, friend, followed, blocked, blocker, muted, muter, other = (member() for _ in range(8))
    feeds.follow(viewer, friend, followed)
    feeds.follow(friend, viewer, followed, blocked, blocker, muted, muter, other)
    feeds.hide(viewer, blocked, "block")
    feeds.hide(blocker, viewer, "block")
    feeds.hide(viewer, muted, "mute")
    feeds.hide(muter, viewer, "mute")
    refresh(feeds)
    assert set(ids(viewer)) == {str(muter), str(other)}


def test_who_was_unfollowed_may_be_suggested_again_and_leads_nowhere(feeds: Feeds) -> None:
    viewer, friend, former, behind = (member() for _ in range(4))
    feeds.follow(viewer, friend, former)
    feeds.follow(viewer, former, gone=True)
    feeds.follow(friend, former)
    feeds.follow(former, behind)
    refresh(feeds)
    assert ids(viewer) == [str(former)]


def test_a_close_friend_weighs_more(feeds: Feeds) -> None:
    viewer, close, distant, by_close, by_distant = (member() for _ in range(5))
    feeds.follow(viewer, close, distant)
    feeds.follow(close, by_close)
    feeds.follow(distant, by_distant)
    feeds.act(viewer, feeds.post(close), "like", times=10)
    refresh(feeds)
    first, second = kept(viewer)
    # 1 + ln(1 + 10), in hundredths.
    assert (first[0], first[1]) == (str(by_close), 3.39)
    assert (second[0], second[1]) == (str(by_distant), 1.0)


def test_the_closest_friends_are_the_reason(feeds: Feeds) -> None:
    viewer, target, *friends = (member() for _ in range(6))
    feeds.follow(viewer, *friends)
    for times, friend in enumerate(friends):
        feeds.follow(friend, target)
        if times:
            feeds.act(viewer, feeds.post(friend), "share", times=times)
    refresh(feeds)
    (found,) = kept(viewer)
    assert found[2] == 4
    assert found[4] == [str(friends[3]), str(friends[2])]


def test_shared_interest_decides_between_equals(feeds: Feeds) -> None:
    viewer, friend, alike, unlike, author, fan = (member() for _ in range(6))
    feeds.follow(viewer, friend)
    feeds.follow(friend, alike, unlike)
    feeds.follow(fan, author)
    post = feeds.post(author)
    feeds.act(viewer, post, "comment")
    feeds.act(alike, post, "like")
    refresh(feeds)
    first, second = kept(viewer)
    assert (first[0], first[1], first[3]) == (str(alike), 2.0, 1)
    assert (second[0], second[1], second[3]) == (str(unlike), 1.0, 0)


def test_only_so_many_are_kept(feeds: Feeds, settings) -> None:
    settings.SUGGESTIONS = 3
    viewer, friend = member(), member()
    feeds.follow(viewer, friend)
    feeds.follow(friend, *(member() for _ in range(10)))
    refresh(feeds)
    assert len(kept(viewer)) == 3


def test_nobody_gives_nothing(feeds: Feeds) -> None:
    report = refresh(feeds)
    assert (report.viewers, report.total, report.after) == (0, 0, None)
    assert orjson.loads(redis.cache().get(suggestions.TRENDING))["users"] == []


def test_trending_authors_for_whoever_has_no_friends(feeds: Feeds) -> None:
    loud, hot = member(), member()
    feeds.make_trend(feeds.post(hot), people=5)
    feeds.act(member(), feeds.post(loud), "like", times=50)
    refresh(feeds)
    ((found, score, people),) = orjson.loads(redis.cache().get(suggestions.TRENDING))["users"]
    assert (found, people) == (str(hot), 5)
    assert score > 0


def test_a_dry_run_writes_nothing(feeds: Feeds) -> None:
    viewer, friend, other = (member() for _ in range(3))
    feeds.follow(viewer, friend)
    feeds.follow(friend, other)
    report = refresh(feeds, dry_run=True)
    assert report.viewers == 2
    assert report.data > 0
    assert redis.cache().get(suggestions.key(viewer)) is None


def some_batches(count: int) -> dict[str, Any]:
    """Options of `refresh` that end it after so many batches, as the end of its time would."""
    batches = iter(range(1, 1000))
    done = [0]

    def progress(viewers: int, of: int | None) -> None:
        done[0] = next(batches)

    return {"progress": progress, "left": lambda: 0.0 if done[0] >= count else 60.0}


def test_what_one_run_does_not_reach_the_next_begins_with(feeds: Feeds, monkeypatch) -> None:
    monkeypatch.setattr(suggestions, "_LEAST_VIEWERS", 5)
    monkeypatch.setattr(suggestions, "_MOST_VIEWERS", 5)
    hub, target = member(), member()
    viewers = [member() for _ in range(30)]
    feeds.follow(hub, target)
    for viewer in viewers:
        feeds.follow(viewer, hub)

    def reached() -> set[UUID]:
        return {viewer for viewer in viewers if redis.cache().get(suggestions.key(viewer))}

    report = refresh(feeds, **some_batches(3))
    first = reached()
    assert 0 < len(first) < len(viewers)
    assert report.after is not None
    redis.cache().delete(*map(suggestions.key, first))
    report = refresh(feeds, after=report.after, **some_batches(3))
    second = reached()
    assert second
    assert not first & second
    report = refresh(feeds, after=report.after)
    assert report.after is None
    assert reached() == set(viewers)
