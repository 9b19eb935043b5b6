"""Calls of the community that come at the same moment: each makes its row once, and no follow outlives a block."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connections

from community import services
from community.models import Block, Follow, Like, Post

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
