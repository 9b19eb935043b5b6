"""The indexes of lists on a real PostgreSQL: each list has one in its order, and the migration goes there and back."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from community import selectors, services
from community.paging import Cursor
from nova import clock

pytestmark = pytest.mark.django_db(transaction=True)
NEW = {"comments_by_post", "follows_by_follower", "follows_by_followee", "likes_by_post", "users_by_joining"}
OWN = {"comments.post_id", "follows.follower_id", "follows.followee_id", "likes.post_id"}


@pytest.fixture(autouse=True)
def to_the_end_again() -> Iterator[None]:
    yield
    call_command("migrate", "community", verbosity=0)


def migrate(to: str) -> None:
    call_command("migrate", "community", to, verbosity=0)


def indexes() -> set[str]:
    """The new ones by name, and the foreign keys' own as table.column; valid ones alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, t.relname || '.' || a.attname FROM pg_index i JOIN pg_class c ON c.oid = indexrelid"
            " JOIN pg_class t ON t.oid = indrelid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = indkey[0]"
            " WHERE indisvalid AND t.relnamespace = 'public'::regnamespace AND NOT indisunique"
        )
        rows = cursor.fetchall()
    return {name if name in NEW else where for name, where in rows if name in NEW or where in OWN}


def foreign_keys() -> set[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT conname, oid FROM pg_constraint WHERE contype = 'f'")
        return set(cursor.fetchall())


def test_there_and_back() -> None:
    keys = foreign_keys()
    assert indexes() == NEW
    migrate("0003")
    assert indexes() == OWN
    migrate("0004")
    assert indexes() == NEW
    assert foreign_keys() == keys, "a key that is made again looks at every row and keeps writers waiting"


def test_a_try_that_ended_in_between_is_gone_on_with(make_member) -> None:
    author, reader = make_member(), make_member()
    post, _ = services.do_create_post(author_id=author, text="one")
    for member in (author, reader):
        services.do_like(user_id=member, post_id=post.id)
    migrate("0003")
    with connection.cursor() as cursor, pytest.raises(IntegrityError):
        # What a try leaves behind that PostgreSQL could not end.
        cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY likes_by_post ON likes (post_id)")
    migrate("0004")
    assert indexes() == NEW


@pytest.mark.parametrize("rows", ["members", "followers", "followees", "likes", "comments", "posts", "posts of one"])
def test_a_page_of_a_list_needs_no_sorting(rows: str) -> None:
    """A popular member has a million followers, of whom a page shows twenty."""
    asked = {
        "members": selectors.members,
        "followers": partial(selectors.follows, of=uuid4(), incoming=True),
        "followees": partial(selectors.follows, of=uuid4(), incoming=False),
        "likes": partial(selectors.likes, post_id=uuid4()),
        "comments": partial(selectors.comments, post_id=uuid4()),
        "posts": selectors.posts,
        "posts of one": partial(selectors.posts, author_id=uuid4()),
    }[rows]
    cursor = Cursor(clock.now(), uuid4())
    for page in ({}, {"cursor": cursor}):
        with CaptureQueriesContext(connection) as ran:
            asked(limit=20, **page)
        [question] = ran.captured_queries
        with transaction.atomic(), connection.cursor() as sql:
            # Of tables this small any way is as good; one that sorts is left only where there is no other.
            sql.execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
            )
            sql.execute(f"EXPLAIN {question['sql']}")
            plan = "\n".join(line for (line,) in sql.fetchall())
        assert "Sort" not in plan, plan
