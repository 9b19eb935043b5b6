"""Calls of the community that come at the same moment: each makes its row once, and no follow outlives a block,
and what is deleted is gone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, connections
from django.test import Client

from community import services
from community.models import Block, Comment, Follow, Like, Post, User

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, call) -> list:
    def one(_):
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_concurrent_follows_make_one_row(make_member, client_of):
    ann, bob = make_member(), make_member()
    codes = at_once(12, lambda: client_of(ann).post("/api/follows", {"followee_id": str(bob)}).status_code)
    assert sorted(codes) == [200] * 11 + [201]
    assert Follow.objects.count() == 1


def test_concurrent_likes_and_posts_make_one_row(make_member, client_of):
    ann = make_member()
    post, _ = services.do_create_post(author_id=ann, text="hello")
    codes = at_once(8, lambda: client_of(ann).post("/api/likes", {"post_id": str(post.id)}).status_code)
    assert sorted(codes) == [200] * 7 + [201]
    body = {"id": str(uuid4()), "text": "once"}
    codes = at_once(8, lambda: client_of(ann).post("/api/posts", body).status_code)
    assert sorted(codes) == [200] * 7 + [201]
    assert (Like.objects.count(), Post.objects.count()) == (1, 2)


def test_no_follow_outlives_a_block_made_at_the_same_moment(make_member, client_of):
    for _ in range(10):
        ann, bob = make_member(), make_member()
        follow = lambda: client_of(ann).post("/api/follows", {"followee_id": str(bob)}).status_code  # noqa: B023, E731
        block = lambda: client_of(bob).post("/api/blocks", {"blocked_id": str(ann)}).status_code  # noqa: B023, E731
        turns = iter([follow, block, follow, follow])
        codes = at_once(4, lambda: next(turns)())  # noqa: B023
        assert set(codes) <= {200, 201, 403}
        assert Block.objects.filter(blocker=bob).count() == 1
        assert not Follow.objects.filter(follower=ann).exists()


@contextmanager
def just_before(beginning: str, statement: str, *parameters: object) -> Iterator[list[str]]:
    """Somebody else runs `statement` when one of ours that begins so is about to be run; whether they did is told. They
    do not wait for us, who wait for them."""
    settings = connection.get_connection_params()
    settings.pop("pool", None)
    tried: list[str] = []

    def look(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith(beginning) and not tried:
            tried.append(sql)
            with suppress(psycopg.errors.LockNotAvailable), psycopg.connect(**settings) as other:
                other.execute("SET lock_timeout = '100ms'")
                other.execute(statement, parameters)
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        yield tried


LIKE = "INSERT INTO likes (user_id, post_id) VALUES (%s, %s)"
COMMENT = "INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, 'so do I')"
FOLLOW = "INSERT INTO follows (follower_id, followee_id) SELECT %s, author_id FROM posts WHERE id = %s"


@pytest.fixture
def post(make_member) -> Post:
    return services.do_create_post(author_id=make_member(), text="liked by all")[0]


@pytest.mark.parametrize("statement", [LIKE, COMMENT, FOLLOW])
@pytest.mark.parametrize("among", [False, True])
def test_a_member_is_deleted_while_others_react(make_member, post, admin_client: Client, statement, among) -> None:
    reader, author = make_member(), post.author_id
    address = "/admin/community/user/" if among else f"/admin/community/user/{author}/delete/"
    form = {"action": "delete_selected", "_selected_action": [author]} if among else {}
    with just_before('DELETE FROM "posts"', statement, reader, post.id) as tried:
        assert admin_client.post(address, {**form, "post": "yes"}).status_code == 302
    assert tried
    assert not User.objects.filter(id=author).exists()
    assert not any(kind.objects.exists() for kind in (Post, Like, Comment, Follow))


def _by_staff(post: Post, admin_client: Client, client_of) -> int:
    return admin_client.post(f"/admin/community/post/{post.id}/delete/", {"post": "yes"}).status_code


def _by_its_author(post: Post, admin_client: Client, client_of) -> int:
    return client_of(post.author_id).delete(f"/api/posts/{post.id}").status_code


@pytest.mark.parametrize(("delete", "code"), [(_by_staff, 302), (_by_its_author, 204)])
@pytest.mark.parametrize("statement", [LIKE, COMMENT])
def test_a_post_is_deleted_while_others_react(
    make_member, post, admin_client, client_of, statement, delete, code
) -> None:
    with just_before('DELETE FROM "posts"', statement, make_member(), post.id) as tried:
        assert delete(post, admin_client, client_of) == code
    assert tried
    assert not any(kind.objects.exists() for kind in (Post, Like, Comment))
