"""The community's REST calls, on a real PostgreSQL."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from community import selectors, services
from community.models import Block, Comment, Follow, Like, Post
from nova import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(make_member) -> UUID:
    return make_member(display_name="Ann")


@pytest.fixture
def bob(make_member) -> UUID:
    return make_member(display_name="Bob")


@pytest.fixture
def as_ann(client_of, ann):
    return client_of(ann)


@pytest.fixture
def as_bob(client_of, bob):
    return client_of(bob)


def post_of(author: UUID, text: str = "hello", **fields) -> Post:
    post, _ = services.do_create_post(author_id=author, text=text)
    if fields:
        Post.objects.filter(id=post.id).update(**fields)
    return post


def walk(client, address: str, limit: int) -> list[dict]:
    """All items behind an address, page by page."""
    items, cursor = [], ""
    for _ in range(50):
        join = "&" if "?" in address else "?"
        page = client.get(f"{address}{join}limit={limit}&cursor={cursor}").json()
        items += page["items"]
        assert page["has_more"] == (page["cursor"] is not None)
        if not page["has_more"]:
            return items
        assert len(page["items"]) == limit
        cursor = page["cursor"]
    raise AssertionError("the pages do not end")


# Members


def test_members(as_ann, ann, bob, make_member):
    gone = make_member(is_active=False)
    items = walk(as_ann, "/api/members", 1)
    assert {"id": str(ann), "username": items[-1]["username"], "display_name": "Ann"} == items[-1]
    assert [item["id"] for item in items] == [str(bob), str(ann)]
    assert as_ann.get(f"/api/members/{bob}").json()["display_name"] == "Bob"
    for unknown in (gone, uuid4()):
        answer = as_ann.get(f"/api/members/{unknown}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


# Posts


def test_a_post_is_made_read_and_deleted(as_ann, as_bob, ann):
    media = [{"url": "https://media.example/1.jpg", "kind": "image", "hash": "ab"}]
    answer = as_ann.post("/api/posts", {"text": "  Grüße 🎉\n", "media": media})
    post = answer.json()
    assert answer.status_code == 201
    assert (post["author_id"], post["text"], post["media"]) == (str(ann), "  Grüße 🎉\n", media)
    assert as_bob.get(f"/api/posts/{post['id']}").json() == post

    assert as_bob.delete(f"/api/posts/{post['id']}").status_code == 403
    assert as_ann.delete(f"/api/posts/{post['id']}").status_code == 204
    assert as_ann.get(f"/api/posts/{post['id']}").status_code == 404
    assert as_ann.delete(f"/api/posts/{post['id']}").status_code == 404


def test_a_post_with_an_id_of_the_client_is_made_once(as_ann, as_bob):
    body = {"id": str(uuid4()), "text": "once"}
    assert as_ann.post("/api/posts", body).status_code == 201
    assert as_ann.post("/api/posts", body).status_code == 200
    assert Post.objects.count() == 1
    for client, other in ((as_ann, body | {"text": "twice"}), (as_bob, body)):
        answer = client.post("/api/posts", other)
        assert (answer.status_code, answer.json()["error"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "  \n "}, "text"),
        ({"text": "x" * 5001}, "text"),
        ({"text": "a\u0000b"}, "text"),
        ({"text": ["x"]}, "text"),
        ({"text": "x", "id": "no uuid"}, "id"),
        ({"text": "x", "id": 7}, "id"),
        ({"text": "x", "id": True}, "id"),
        ({"text": "x", "media": "none"}, "media"),
        ({"text": "x", "media": [{"url": "https://a.example/1", "kind": "image"}] * 11}, "media"),
        ({"media": [{"url": "https://a.example/1", "kind": "image"}, {"url": "javascript:1", "kind": "image"}]},
         "media[1].url"),
        ({"media": [{"url": "https://a.example/1", "kind": "smell"}]}, "media[0].kind"),
        ([], None),
        ("text", None),
    ],
)  # fmt: skip
def test_what_is_no_post(as_ann, body, field):
    answer = as_ann.post("/api/posts", body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert answer.json().get("field") == field


def test_posts_are_paged_newest_first_without_gaps_or_repeats(as_ann, ann, bob):
    same = clock.now() - timedelta(hours=1)
    posts = [post_of(ann, str(number), created_at=same) for number in range(7)]
    other = post_of(bob, created_at=same - timedelta(hours=1))
    newest = sorted((str(post.id) for post in posts), reverse=True)
    for limit in (1, 3, 7, 100):
        assert [item["id"] for item in walk(as_ann, f"/api/posts?author={ann}", limit)] == newest
    assert [item["id"] for item in walk(as_ann, "/api/posts", 3)] == [*newest, str(other.id)]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=" + "A" * 32, "author=x"])
def test_wrong_queries_name_the_parameter(as_ann, query):
    answer = as_ann.get(f"/api/posts?{query}")
    expected = 200 if query == "cursor=" + "A" * 32 else 400  # 1970-01-01: a cursor like any other
    assert answer.status_code == expected
    if expected == 400:
        assert answer.json()["field"] == query.split("=")[0]


# Follows


def test_following_is_idempotent(as_ann, as_bob, ann, bob):
    first = as_ann.post("/api/follows", {"followee_id": str(bob)})
    again = as_ann.post("/api/follows", {"followee_id": str(bob)})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["follower_id"] == str(ann)
    listed = [as_ann.get("/api/follows"), as_ann.get(f"/api/follows?of={bob}&direction=in")]
    assert [answer.json()["items"] for answer in listed] == [[first.json()]] * 2
    assert as_bob.get("/api/follows").json()["items"] == []

    for _ in range(2):
        assert as_ann.delete(f"/api/follows/{bob}").status_code == 204
    assert not Follow.objects.exists()


def test_whom_one_cannot_follow(as_ann, ann):
    oneself = as_ann.post("/api/follows", {"followee_id": str(ann)})
    assert (oneself.status_code, oneself.json()["field"]) == (400, "followee_id")
    assert as_ann.post("/api/follows", {"followee_id": str(uuid4())}).status_code == 404
    assert as_ann.post("/api/follows", {}).json()["field"] == "followee_id"
    assert as_ann.post("/api/follows", {"followee_id": 7}).json()["field"] == "followee_id"


def test_a_token_without_a_member_writes_nothing(client_of, bob):
    stranger = client_of(uuid4())
    post = post_of(bob)
    for address, body in (
        ("/api/posts", {"text": "x"}),
        ("/api/follows", {"followee_id": str(bob)}),
        ("/api/likes", {"post_id": str(post.id)}),
        ("/api/comments", {"post_id": str(post.id), "text": "x"}),
        ("/api/blocks", {"blocked_id": str(bob)}),
    ):
        assert stranger.post(address, body).status_code == 403, address


# Likes and comments


def test_liking_is_idempotent_and_knows_the_author(as_ann, ann, bob):
    post = post_of(bob)
    codes = [as_ann.post("/api/likes", {"post_id": str(post.id)}).status_code for _ in range(2)]
    assert codes == [201, 200]
    assert Like.objects.get().post_author_id == bob
    (like,) = as_ann.get(f"/api/likes?post={post.id}").json()["items"]
    assert (like["user_id"], like["post_id"]) == (str(ann), str(post.id))
    assert [as_ann.delete(f"/api/likes/{post.id}").status_code for _ in range(2)] == [204, 204]
    assert not Like.objects.exists()


@pytest.mark.parametrize("address", ["/api/likes", "/api/comments"])
def test_reactions_need_a_post(as_ann, address):
    body = {"post_id": str(uuid4()), "text": "x"}
    assert as_ann.post(address, body).status_code == 404
    assert as_ann.get(address).json()["field"] == "post"
    assert as_ann.post(address, {"text": "x"}).json()["field"] == "post_id"
    by_number = as_ann.post(address, body | {"post_id": 7})
    assert (by_number.status_code, by_number.json()["field"]) == (400, "post_id")


def test_comments(as_ann, as_bob, ann, bob):
    post = post_of(bob)
    body = {"id": str(uuid4()), "post_id": str(post.id), "text": "well said"}
    codes = [as_ann.post("/api/comments", body).status_code for _ in range(2)]
    assert codes == [201, 200]
    assert as_ann.post("/api/comments", body | {"text": "badly said"}).status_code == 409
    assert as_bob.post("/api/comments", body).status_code == 409
    assert as_ann.post("/api/comments", body | {"text": " "}).json()["field"] == "text"
    assert as_ann.post("/api/comments", body | {"text": "x" * 2001}).json()["field"] == "text"
    (comment,) = as_bob.get(f"/api/comments?post={post.id}").json()["items"]
    assert (comment["user_id"], comment["text"]) == (str(ann), "well said")
    assert as_bob.delete(f"/api/comments/{comment['id']}").status_code == 403
    assert as_ann.delete(f"/api/comments/{comment['id']}").status_code == 204
    assert as_ann.delete(f"/api/comments/{comment['id']}").status_code == 404
    assert not Comment.objects.exists()


def test_a_deleted_post_takes_its_reactions_along(as_ann, as_bob, bob):
    post = post_of(bob)
    as_ann.post("/api/likes", {"post_id": str(post.id)})
    as_ann.post("/api/comments", {"post_id": str(post.id), "text": "x"})
    assert as_bob.delete(f"/api/posts/{post.id}").status_code == 204
    assert not Like.objects.exists()
    assert not Comment.objects.exists()


# Blocks


@pytest.mark.parametrize("blocker", ["ann", "bob"])
def test_a_block_parts_both_ways(as_ann, as_bob, ann, bob, blocker):
    post = post_of(bob)
    as_ann.post("/api/follows", {"followee_id": str(bob)})
    as_bob.post("/api/follows", {"followee_id": str(ann)})
    client, other = (as_ann, bob) if blocker == "ann" else (as_bob, ann)
    assert client.post("/api/blocks", {"blocked_id": str(other)}).status_code == 201
    assert not Follow.objects.exists()
    for address, body in (
        ("/api/follows", {"followee_id": str(bob)}),
        ("/api/likes", {"post_id": str(post.id)}),
        ("/api/comments", {"post_id": str(post.id), "text": "x"}),
    ):
        answer = as_ann.post(address, body)
        assert (answer.status_code, answer.json()["error"]) == (403, "permission_denied"), address


def test_a_mute_only_hides(as_ann, ann, bob):
    as_ann.post("/api/follows", {"followee_id": str(bob)})
    assert as_ann.post("/api/blocks", {"blocked_id": str(bob), "kind": "mute"}).status_code == 201
    assert Follow.objects.count() == 1
    assert as_ann.post("/api/likes", {"post_id": str(post_of(bob).id)}).status_code == 201
    assert selectors.hidden_authors(ann) == {bob}
    assert selectors.hidden_authors(bob) == set()


def test_blocks_are_listed_to_their_owner_and_taken_back_by_kind(as_ann, as_bob, ann, bob):
    for kind in ("block", "mute", "mute"):
        as_ann.post("/api/blocks", {"blocked_id": str(bob), "kind": kind})
    assert {item["kind"] for item in as_ann.get("/api/blocks").json()["items"]} == {"block", "mute"}
    assert as_bob.get("/api/blocks").json()["items"] == []
    assert selectors.hidden_authors(bob) == {ann}
    assert as_ann.delete(f"/api/blocks/{bob}?kind=block").status_code == 204
    assert [row.kind for row in Block.objects.all()] == ["mute"]
    assert as_ann.delete(f"/api/blocks/{bob}?kind=x").json()["field"] == "kind"
    assert as_ann.delete(f"/api/blocks/{bob}").status_code == 204
    assert not Block.objects.exists()
    oneself = as_ann.post("/api/blocks", {"blocked_id": str(ann)})
    assert (oneself.status_code, oneself.json()["field"]) == (400, "blocked_id")


# What others read


def test_who_has_many_followers_leaves_room_for_those_of_others(ann, bob, make_member):
    for _ in range(5):
        services.do_follow(follower_id=make_member(), followee_id=bob)
    only = make_member()
    services.do_follow(follower_id=only, followee_id=ann)
    found = selectors.followers_of([ann, bob], each=2)
    assert (len(found), only in found) == (3, True)


def test_selectors_for_ranking_and_feeds(ann, bob, make_member, django_assert_num_queries):
    cas = make_member(username="cas")
    for follower, followee in ((ann, bob), (ann, cas), (bob, cas)):
        services.do_follow(follower_id=follower, followee_id=followee)
    old, new = post_of(cas, "old", created_at=clock.now() - timedelta(hours=80)), post_of(cas, "new")
    since = clock.now() - timedelta(hours=72)
    with django_assert_num_queries(9):
        assert selectors.followees_of(ann) == [cas, bob]
        assert sorted(selectors.followers_of([bob, cas], each=10)) == sorted([ann, bob])
        assert selectors.recent_posts_of([bob, cas], since, 10) == [new]
        assert selectors.recent_posts(since, 10) == [new]
        assert selectors.recent_posts(since, 10, {cas}) == []
        assert selectors.authors_of([old.id, uuid4()]) == {old.id: cas}
        assert selectors.posts_by_ids([old.id, new.id]) == {old.id: old, new.id: new}
        card = {"id": str(cas), "username": "cas", "display_name": "cas"}
        assert selectors.member_cards([str(cas), str(uuid4())]) == {str(cas): card}
        assert selectors.hidden_authors(ann) == set()


@pytest.mark.django_db(transaction=True)
def test_a_selector_that_serves_gives_up_a_slow_statement(ann):
    with selectors._served(50), connection.cursor() as cursor, pytest.raises(Exception, match="statement timeout"):
        cursor.execute("SELECT pg_sleep(5)")
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)


def test_v1_answers_the_same(as_ann, bob):
    post = post_of(bob)
    assert as_ann.get(f"/api/v1/posts/{post.id}").json() == as_ann.get(f"/api/posts/{post.id}").json()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('["https://a.example/1.png"]', []),
        ('{"url": "https://a.example/1.png"}', []),
        ("5", []),
        ("null", None),
        ('[[1], {"odd": true}]', [{"odd": True}]),
        ('[{"a": ' + "[" * 300 + "]" * 300 + "}]", []),
        ("[" * 3000 + "]" * 3000, []),
        ('[{"n": 1' + "0" * 30 + "}]", [{"n": 1e30}]),
    ],
)
def test_media_that_were_written_past_the_api_break_no_list(as_ann, ann, stored, shown):
    identifier = as_ann.post("/api/posts", {"text": "x"}).json()["id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE posts SET media = %s::jsonb WHERE id = %s", [stored, identifier])
    answer = as_ann.get("/api/posts")
    assert answer.status_code == 200
    assert [post["media"] for post in answer.json()["items"] if post["id"] == identifier] == [shown]


def test_an_id_in_capitals_is_the_same_id(as_ann, ann: UUID) -> None:
    post = post_of(ann)
    found = as_ann.get(f"/api/posts/{str(post.id).upper()}")
    assert (found.status_code, found.json()["id"]) == (200, str(post.id))
    assert as_ann.get(f"/api/posts/{str(post.id)[:-1]}g").status_code == 404
