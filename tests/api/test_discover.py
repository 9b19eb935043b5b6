"""GET /api/discover/suggested-users, as its clients see it."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model

from community.models import Block, Follow
from nova import redis
from ranking import breaker, suggestions
from tests.feeds import Feeds

pytest_plugins = ["tests.ranking_fixtures"]

ADDRESS = "/api/discover/suggested-users"


@pytest.fixture
def people(feeds: Feeds, make_member: Callable[..., UUID]) -> dict[str, UUID]:
    """vera follows ann and bob; both follow carl, bob follows dora too. Nobody follows eve."""
    names = ("vera", "ann", "bob", "carl", "dora", "eve")
    ids = {name: make_member(username=f"{name}-{uuid4().hex[:8]}", display_name=name.title()) for name in names}
    for follower, followees in {"vera": ("ann", "bob"), "ann": ("carl",), "bob": ("carl", "dora")}.items():
        for followee in followees:
            Follow.objects.create(follower_id=ids[follower], followee_id=ids[followee])
            feeds.follow(ids[follower], ids[followee])
    redis.cache().delete(suggestions.TRENDING)
    return ids


def refresh(feeds: Feeds) -> None:
    suggestions.refresh(feeds.now, left=lambda: 120.0)


def get(client, **parameters):
    answer = client.get(ADDRESS, parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def names(answer) -> list[str]:
    return [user["display_name"] for user in answer["users"]]


def test_a_suggestion_tells_why(feeds: Feeds, people, client_of) -> None:
    refresh(feeds)
    answer = get(client_of(people["vera"]))
    assert set(answer) == {"users", "generated_at"}
    carl, dora = answer["users"]
    assert (carl["id"], carl["display_name"], carl["affinity_score"]) == (str(people["carl"]), "Carl", 2.0)
    assert carl["mutual_followers"]["count"] == 2
    assert {member["display_name"] for member in carl["mutual_followers"]["members"]} == {"Ann", "Bob"}
    assert carl["reason"]["code"] == "friends_of_friends"
    assert carl["reason"]["text"] in ("Followed by Ann and Bob.", "Followed by Bob and Ann.")
    assert dora["reason"]["text"] == "Followed by Bob."


def test_more_mutual_followers_than_names(feeds: Feeds, people, client_of, make_member) -> None:
    for _ in range(3):
        friend = make_member()
        Follow.objects.create(follower_id=people["vera"], followee_id=friend)
        feeds.follow(people["vera"], friend)
        feeds.follow(friend, people["dora"])
    refresh(feeds)
    (dora,) = [user for user in get(client_of(people["vera"]))["users"] if user["display_name"] == "Dora"]
    assert dora["mutual_followers"]["count"] == 4
    assert dora["reason"]["text"].endswith(" and 2 others you follow.")


def test_what_has_changed_since_is_respected(feeds: Feeds, people, client_of) -> None:
    """The list was kept before; followed, blocked or gone members are not shown all the same."""
    refresh(feeds)
    client = client_of(people["vera"])
    assert names(get(client)) == ["Carl", "Dora"]
    Block.objects.create(blocker_id=people["carl"], blocked_id=people["vera"])
    assert names(get(client)) == ["Dora"]
    followed = Follow.objects.create(follower_id=people["vera"], followee_id=people["dora"])
    assert names(get(client)) == []
    followed.delete()
    get_user_model().objects.filter(id=people["dora"]).update(is_active=False)
    assert names(get(client)) == []


@pytest.mark.parametrize("how", ["unfollowed", "muted", "gone"])
def test_a_friend_who_is_none_any_more_is_no_reason_and_not_counted(feeds: Feeds, people, client_of, how: str) -> None:
    refresh(feeds)
    if how == "unfollowed":
        Follow.objects.filter(follower_id=people["vera"], followee_id=people["ann"]).delete()
    elif how == "muted":
        Block.objects.create(blocker_id=people["vera"], blocked_id=people["ann"], kind="mute")
    else:
        get_user_model().objects.filter(id=people["ann"]).update(is_active=False)
    (carl, _) = get(client_of(people["vera"]))["users"]
    assert carl["mutual_followers"]["count"] == len(carl["mutual_followers"]["members"]) == 1
    assert carl["reason"]["text"] == "Followed by Bob."


def test_of_many_mutual_followers_those_unfollowed_are_subtracted(feeds: Feeds, people, client_of, make_member) -> None:
    for _ in range(3):
        friend = make_member()
        Follow.objects.create(follower_id=people["vera"], followee_id=friend)
        feeds.follow(people["vera"], friend)
        feeds.follow(friend, people["dora"])
    refresh(feeds)
    client = client_of(people["vera"])
    (dora,) = [user for user in get(client)["users"] if user["display_name"] == "Dora"]
    named = [member["id"] for member in dora["mutual_followers"]["members"]]
    assert (dora["mutual_followers"]["count"], len(named)) == (4, 2)
    for left, text in ((3, "and 2 others you follow."), (2, "Followed by 2 members you follow.")):
        Follow.objects.filter(follower_id=people["vera"], followee_id=named.pop()).delete()
        (dora,) = [user for user in get(client)["users"] if user["display_name"] == "Dora"]
        assert dora["mutual_followers"]["count"] == left
        assert dora["reason"]["text"].endswith(text)


def test_whom_no_friend_follows_any_more_is_suggested_only_as_a_trending_author(
    feeds: Feeds, people, client_of
) -> None:
    refresh(feeds)
    client = client_of(people["vera"])
    Follow.objects.filter(follower_id=people["vera"], followee_id=people["bob"]).delete()
    # Only Bob followed Dora; Carl still has Ann. Bob himself may be suggested again by the next run.
    assert names(get(client)) == ["Carl"]
    feeds.make_trend(feeds.post(people["dora"]))
    redis.cache().delete(suggestions.TRENDING)
    assert [user["reason"]["code"] for user in get(client)["users"]] == ["friends_of_friends", "trending"]


def test_whoever_follows_nobody_gets_trending_authors(feeds: Feeds, people, client_of) -> None:
    feeds.make_trend(feeds.post(people["ann"]), people=6)
    feeds.make_trend(feeds.post(people["eve"]), people=9)
    refresh(feeds)
    (ann,) = get(client_of(people["eve"]))["users"]
    assert ann["display_name"] == "Ann"
    assert ann["mutual_followers"] == {"count": 0, "members": []}
    assert ann["reason"] == {"code": "trending", "text": "6 members reacted to their posts lately."}


def test_trending_authors_fill_the_page_after_the_friends(feeds: Feeds, people, client_of) -> None:
    feeds.make_trend(feeds.post(people["eve"]))
    feeds.make_trend(feeds.post(people["carl"]))
    feeds.make_trend(feeds.post(people["ann"]))
    refresh(feeds)
    client = client_of(people["vera"])
    assert names(get(client)) == ["Carl", "Dora", "Eve"]
    assert names(get(client, limit=2)) == ["Carl", "Dora"]


def test_without_any_run_of_the_job_trending_is_worked_out(feeds: Feeds, people, client_of) -> None:
    feeds.make_trend(feeds.post(people["eve"]))
    assert names(get(client_of(people["vera"]))) == ["Eve"]


def test_an_empty_community_gives_an_empty_list(feeds: Feeds, people, client_of) -> None:
    assert get(client_of(people["eve"]))["users"] == []


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_a_wrong_limit_is_refused(people, client_of, limit: str) -> None:
    answer = client_of(people["vera"]).get(ADDRESS, {"limit": limit})
    assert answer.status_code == 400
    assert answer.json()["field"] == "limit"


def test_a_stranger_is_refused(client) -> None:
    assert client.get(ADDRESS).status_code == 401


def test_calls_are_limited(people, client_of, settings) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "discover": 2}
    client = client_of(people["eve"])
    assert [client.get(ADDRESS).status_code for _ in range(3)] == [200, 200, 429]


def test_the_old_and_the_versioned_address_answer_the_same(feeds: Feeds, people, client_of) -> None:
    refresh(feeds)
    client = client_of(people["vera"])
    assert client.get("/api/v1/discover/suggested-users").json() == get(client)


def test_own_suggestions_outlive_those_for_everyone(feeds: Feeds, people, client_of) -> None:
    refresh(feeds)
    redis.cache().delete(suggestions.TRENDING)
    breaker.clickhouse.force("open", by="staff", reason="maintenance")
    assert names(get(client_of(people["vera"]))) == ["Carl", "Dora"]
    # Who has none gets told.
    assert client_of(people["eve"]).get(ADDRESS).status_code == 503


def test_trending_authors_of_another_version_are_worked_out_anew(feeds: Feeds, people, client_of) -> None:
    redis.cache().set(suggestions.TRENDING, b'{"v":2}')
    assert get(client_of(people["eve"]))["users"] == []
