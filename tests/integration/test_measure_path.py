"""`measure_path` in a community that goes on living."""

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from django.db import connection
from django.db.models.signals import post_delete

from community.models import Like, Post, User
from feed.management.commands.measure_path import _forget

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admirer(make_member) -> Iterator[list[str]]:
    """Likes a post in the name of `measured-0` while that member is being deleted, once; what it did is told. It does
    not wait for the deletion, which waits for it."""
    post = Post.objects.create(author_id=make_member(), text="liked").id
    settings = connection.get_connection_params()
    settings.pop("pool", None)
    done = []

    def like(**_: object) -> None:
        if not done:
            done.append("liked")
            with suppress(psycopg.errors.LockNotAvailable), psycopg.connect(**settings) as other:
                other.execute("SET lock_timeout = '100ms'")
                whose = "SELECT id, %s FROM users WHERE username = 'measured-0'"
                other.execute(f"INSERT INTO likes (user_id, post_id) {whose}", [post])

    post_delete.connect(like, Post)
    yield done
    post_delete.disconnect(like, Post)


def test_its_members_go_although_others_like_and_follow_them_meanwhile(make_member, admirer) -> None:
    """It ended with a traceback then, without the figures that it had taken minutes for."""
    member = make_member(username="measured-0")
    Post.objects.create(author_id=member, text="measured")
    _forget("measured-")
    assert admirer == ["liked"]
    assert not User.objects.filter(id=member)
    assert not Like.objects.filter(user_id=member)
