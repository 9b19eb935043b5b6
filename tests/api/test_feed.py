"""GET /api/feed and /api/feed/trending, as their clients see them."""

from uuid import UUID, uuid4

import pytest

from community.models import Block, Follow, Post
from nova import clock, redis
from ranking import pipeline, seen
from tests.feeds import Feeds, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]

FIELDS = {
    "posts",
    "cursor",
    "has_more",
    "cache_hit",
    "algorithm",
    "snapshot",
    "snapshot_replaced",
    "generated_at",
    "stale",
    "experiment",
    "latency_ms",
}
POST = {"id", "author", "created_at", "text", "media", "counts", "seen"}
COUNTS = {"impressions", "views", "likes", "comments", "shares"}
WHY = {"sources", "freshness", "engagement", "affinity", "final", "moved_by_diversity", "inputs", "weights"}


@pytest.fixture
def author(make_member) -> UUID:
    return make_member(username=f"ann-{uuid4().hex[:8]}", display_name="Ann")


@pytest.fixture
def viewer(feeds: Feeds, author: UUID) -> UUID:
    viewer, others = member(), [member() for _ in range(4)]
    feeds.follow(viewer, author, *others)
    for number, followee in enumerate((author, *others)):
        feeds.posts(followee, hours_ago=[1 + number, 11 + number])
    return viewer


@pytest.fixture
def client(client_of, viewer: UUID):
    return client_of(viewer)


def get(client, address: str, **parameters):
    answer = client.get(address, parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_page_has_every_field(client, author: UUID) -> None:
    page = get(client, "/api/feed", limit=3)
    assert set(page) == FIELDS
    assert (page["algorithm"], page["cache_hit"], page["stale"], page["snapshot_replaced"]) == (
        "ch",
        False,
        False,
        False,
    )
    assert (len(page["posts"]), page["has_more"]) == (3, True)
    first = page["posts"][0]
    assert set(first) == POST
    assert set(first["counts"]) == COUNTS
    assert first["author"]["id"] == str(author)
    assert first["author"]["display_name"] == "Ann"
    assert first["created_at"].endswith("Z")
    assert first["media"] == []
    assert page["generated_at"].endswith("Z")


def test_posts_come_in_falling_order_of_their_score(client) -> None:
    posts = get(client, "/api/feed", explain=1)["posts"]
    assert all(set(post) == POST | WHY for post in posts)
    assert len(posts) == 10
    stayed = [post["final"] for post in posts if post["moved_by_diversity"] == 0]
    assert stayed == sorted(stayed, reverse=True)
    for post in posts:
        weights = post["weights"]
        parts = sum(weights[part] * post[part] for part in ("freshness", "engagement", "affinity"))
        assert post["final"] == pytest.approx(parts)


def test_the_second_call_is_answered_from_the_cache(client) -> None:
    first, second = get(client, "/api/feed"), get(client, "/api/feed")
    assert second["cache_hit"]
    assert second["posts"] == first["posts"]


def test_pages_follow_each_other_to_the_end(client) -> None:
    whole = [post["id"] for post in get(client, "/api/feed")["posts"]]
    page = get(client, "/api/feed", limit=4)
    found = [post["id"] for post in page["posts"]]
    while page["has_more"]:
        page = get(client, "/api/feed", limit=4, cursor=page["cursor"])
        found += [post["id"] for post in page["posts"]]
    assert found == whole
    assert page["cursor"] is None


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"algo": "best"}, "algo"),
        ({"explain": "yes"}, "explain"),
        ({"cursor": "forged"}, "cursor"),
        ({"cursor": "x" * 3000}, "cursor"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_what_is_wrong_with_a_call_is_named(client, parameters: dict[str, str], field: str) -> None:
    answer = client.get("/api/feed", parameters)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["field"] == field


def test_another_viewers_cursor_is_refused(client, client_of) -> None:
    cursor = get(client, "/api/feed", limit=1)["cursor"]
    answer = client_of(member()).get("/api/feed", {"cursor": cursor})
    assert (answer.status_code, answer.json()["field"]) == (400, "cursor")


def test_nobody_unknown_reads_a_feed(client_of) -> None:
    client = client_of(member())
    client.credentials()
    for address in ("/api/feed", "/api/feed/trending"):
        answer = client.get(address)
        assert (answer.status_code, answer.json()["error"]) == (401, "not_authenticated")


def test_how_many_posts_are_newer(client, feeds: Feeds, viewer: UUID) -> None:
    snapshot = get(client, "/api/feed")["snapshot"]
    assert get(client, "/api/feed", since=snapshot) == {"newer": 0}
    followee = member()
    feeds.posts(followee, hours_ago=[0, 0.5])
    feeds.follow(viewer, followee)
    invalidate(viewer)
    assert get(client, "/api/feed", since=snapshot) == {"newer": 2}


def test_order_of_time_on_request(client_of, feeds: Feeds, make_member) -> None:
    viewer, followee, stranger, blocked = (make_member() for _ in range(4))
    for one in (followee, blocked):
        Follow.objects.create(follower_id=viewer, followee_id=one)
    Block.objects.create(blocker_id=blocked, blocked_id=viewer)
    posts = [Post.objects.create(author_id=followee, text=f"post {number}") for number in range(3)]
    for one in (viewer, stranger, blocked):
        Post.objects.create(author_id=one, text="never")
    client = client_of(viewer)
    page = get(client, "/api/feed", algo="time", explain=1, limit=2)
    assert page["algorithm"] == "time"
    assert set(page["posts"][0]) == POST | WHY
    assert page["posts"][0]["final"] is None
    rest = get(client, "/api/feed", cursor=page["cursor"])
    assert rest["algorithm"] == "time"
    found = [post["text"] for post in page["posts"] + rest["posts"]]
    assert found == [post.text for post in reversed(posts)]


def test_in_order_of_time_who_follows_nobody_gets_the_newest_of_all(client_of, feeds: Feeds, make_member) -> None:
    viewer, author, muted = (make_member() for _ in range(3))
    Block.objects.create(blocker_id=viewer, blocked_id=muted, kind="mute")
    Post.objects.create(author_id=muted, text="muted")
    Post.objects.create(author_id=author, text="found")
    posts = get(client_of(viewer), "/api/feed", algo="time", explain=1)["posts"]
    assert [(post["text"], post["sources"]) for post in posts] == [("found", ["newest"])]


def test_in_order_of_time_the_seen_follow(client_of, feeds: Feeds, make_member) -> None:
    from nova import redis
    from ranking import seen

    viewer, author = make_member(), make_member()
    Follow.objects.create(follower_id=viewer, followee_id=author)
    old, new = (Post.objects.create(author_id=author, text=text) for text in ("old", "new"))
    redis.cache().zadd(seen.key(str(viewer)), {str(new.id): feeds.now.timestamp()})
    posts = get(client_of(viewer), "/api/feed", algo="time")["posts"]
    assert [(post["id"], post["seen"]) for post in posts] == [(str(old.id), False), (str(new.id), True)]


def test_an_empty_community_gives_an_empty_page(client_of, feeds: Feeds) -> None:
    page = get(client_of(member()), "/api/feed")
    assert (page["posts"], page["has_more"], page["cursor"]) == ([], False, None)


def test_the_limit_is_said_and_kept(client_of, feeds: Feeds, settings) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "feed": 2}
    client = client_of(member())
    assert client.get("/api/feed").headers["RateLimit-Remaining"] == "1"
    assert client.get("/api/feed").status_code == 200
    answer = client.get("/api/feed")
    assert (answer.status_code, answer.json()["error"]) == (429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 0


def test_v1_answers_the_same(client) -> None:
    assert get(client, "/api/v1/feed")["posts"] == get(client, "/api/feed")["posts"]


def test_trending_has_scores_and_counts(client, client_of, feeds: Feeds, author: UUID) -> None:
    hot, warm = feeds.posts(author, hours_ago=[3, 4])
    feeds.make_trend(hot, action="comment")
    feeds.make_trend(warm)
    found = get(client, "/api/feed/trending", window="24h", limit=5)
    assert set(found) == {"window", "generated_at", "posts"}
    assert [post["id"] for post in found["posts"]] == [str(hot), str(warm)]
    first = found["posts"][0]
    assert set(first) == POST | {"score", "people"}
    assert first["counts"]["comments"] == 3
    assert first["author"]["display_name"] == "Ann"
    assert len(get(client, "/api/feed/trending", limit=1)["posts"]) == 1
    # The author does not see their own.
    assert get(client_of(author), "/api/feed/trending")["posts"] == []


def test_a_kept_trending_list_is_read(client, feeds: Feeds, author: UUID) -> None:
    (post,) = feeds.posts(author, hours_ago=[3])
    feeds.store(post)
    feeds.make_trend(post)
    assert pipeline.refresh_trending("24h", feeds.now) == 1
    late = feeds.post(author)
    feeds.store(late)
    feeds.make_trend(late)
    assert [item["id"] for item in get(client, "/api/feed/trending")["posts"]] == [str(post)]
    pipeline.refresh_trending("24h", feeds.now)
    assert {item["id"] for item in get(client, "/api/feed/trending")["posts"]} == {str(post), str(late)}


def test_the_kept_trending_list_is_what_would_be_worked_out(client, feeds: Feeds, author: UUID) -> None:
    feeds.store(*(posts := feeds.posts(author, hours_ago=[3, 4], media=[{"seen": False}])))
    for post in posts:
        feeds.make_trend(post)
    worked_out = get(client, "/api/feed/trending")
    pipeline.refresh_trending("24h", feeds.now)
    kept = get(client, "/api/feed/trending")
    assert [post["id"] for post in kept["posts"]] == [post["id"] for post in worked_out["posts"]]
    for one, other in zip(kept["posts"], worked_out["posts"], strict=True):
        assert one | {"score": 0} == other | {"score": 0}


def test_a_kept_trending_list_hides_what_this_viewer_must_not_see(
    client, client_of, viewer, feeds: Feeds, make_member
) -> None:
    # One of the first of a list that is longer than what is read at once.
    many, few, deleter = (make_member() for _ in range(3))
    theirs = feeds.posts(many, hours_ago=[1] * 110)
    (other,), (deleted,) = feeds.posts(few, hours_ago=[3]), feeds.posts(deleter, hours_ago=[3])
    feeds.store(*theirs, other, deleted)
    feeds.make_trend(*theirs, other, deleted)
    pipeline.refresh_trending("24h", feeds.now)
    Post.objects.filter(id=deleted).delete()
    assert get(client, "/api/feed/trending", limit=1)["posts"][0]["author"]["id"] in {str(many), str(few)}
    assert [post["id"] for post in get(client_of(many), "/api/feed/trending", limit=2)["posts"]] == [str(other)]
    blocker = make_member()
    Block.objects.create(blocker_id=blocker, blocked_id=many)
    assert [post["id"] for post in get(client_of(blocker), "/api/feed/trending", limit=2)["posts"]] == [str(other)]


def test_a_post_seen_since_is_marked_in_the_kept_trending_list(client, viewer, feeds: Feeds, author: UUID) -> None:
    first, second = feeds.posts(author, hours_ago=[3, 4])
    feeds.store(first, second)
    for post in (first, second):
        feeds.make_trend(post)
    pipeline.refresh_trending("24h", feeds.now)
    redis.cache().zadd(seen.key(str(viewer)), {str(second): clock.now().timestamp()})
    marks = {post["id"]: post["seen"] for post in get(client, "/api/feed/trending")["posts"]}
    assert marks == {str(first): False, str(second): True}


@pytest.mark.parametrize(
    ("parameters", "field"), [({"window": "2h"}, "window"), ({"limit": "501"}, "limit"), ({"limit": "0"}, "limit")]
)
def test_what_is_wrong_with_a_trending_call_is_named(client, parameters: dict[str, str], field: str) -> None:
    answer = client.get("/api/feed/trending", parameters)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_part_of_the_viewers_get_order_of_time(client, settings) -> None:
    settings.FEED_CH_PERCENT = 0
    page = get(client, "/api/feed", limit=1)
    assert page["algorithm"] == "time"
    assert get(client, "/api/feed", since=page["snapshot"]) == {"newer": 0}
    assert get(client, "/api/feed", algo="ch")["algorithm"] == "ch"
    settings.FEED_CH_PERCENT = 100
    assert get(client, "/api/feed")["algorithm"] == "ch"
    assert get(client, "/api/feed", algo="time")["algorithm"] == "time"
