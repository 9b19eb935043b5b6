"""POST /api/feed/invalidate, by whom and to what effect."""

from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from nova import redis
from ranking import trending
from tests.feeds import Feeds, member

pytest_plugins = ["tests.ranking_fixtures"]
ADDRESS = "/api/feed/invalidate"


@pytest.fixture
def service(client_of, feeds: Feeds):
    return client_of(member(), service=True)


def test_a_feed_is_made_anew(client_of, service, feeds: Feeds) -> None:
    viewer, other, author = member(), member(), member()
    feeds.follow(viewer, author)
    readers = {one: client_of(one) for one in (viewer, other)}
    before = {one: client.get("/api/feed").json()["snapshot"] for one, client in readers.items()}
    answer = service.post(ADDRESS, {"user_ids": [str(viewer), str(viewer)], "scope": "feed"})
    assert (answer.status_code, answer.json()) == (200, {"invalidated": 1, "scope": "feed"})
    after = {one: client.get("/api/feed").json()["snapshot"] for one, client in readers.items()}
    assert after[viewer] != before[viewer]
    assert after[other] == before[other]


def test_the_trending_lists_are_worked_out_anew(service, feeds: Feeds) -> None:
    post = feeds.post(member())
    feeds.make_trend(post)
    answer = service.post(ADDRESS, {"scope": "trending"})
    assert answer.json() == {"invalidated": 3, "scope": "trending"}
    assert str(post).encode() in redis.cache().get(trending.key("24h"))
    answer = service.post(ADDRESS, {"scope": "all", "user_ids": [str(member())]})
    assert answer.json() == {"invalidated": 4, "scope": "all"}


def test_staff_may_with_a_session_and_members_may_not(client_of, make_member, feeds: Feeds) -> None:
    body = {"user_ids": [str(member())]}
    answer = client_of(member()).post(ADDRESS, body)
    assert (answer.status_code, answer.json()["error"]) == (403, "permission_denied")
    for staff, status in ((True, 200), (False, 403)):
        browser = Client()
        identifier: UUID = make_member(is_staff=staff)
        browser.force_login(get_user_model().objects.get(id=identifier))
        assert browser.post(ADDRESS, body, content_type="application/json").status_code == status
    assert Client().post(ADDRESS, body, content_type="application/json").status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_ids": [], "scope": "feed"}, "user_ids"),
        ({"scope": "all"}, "user_ids"),
        ({"user_ids": ["somebody"]}, "user_ids[0]"),
        ({"user_ids": [7]}, "user_ids[0]"),
        ({"user_ids": [], "scope": "everything"}, "scope"),
    ],
)
def test_what_is_wrong_is_named(service, body: dict, field: str) -> None:
    answer = service.post(ADDRESS, body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
