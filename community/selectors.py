"""Reads of the community. Those that serve feeds keep within `SERVING_MS`, whatever PostgreSQL is busy with."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypedDict, TypeVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Model, Q, QuerySet
from rest_framework.exceptions import NotFound

from community.models import Block, Comment, Follow, Like, Post, User
from community.paging import Cursor, Page
from nova import postgres

SERVING_MS = 800
_GRACE_SECONDS = 0.2
_CARDS = "SELECT id::text, username, display_name FROM users WHERE id = ANY(%s::uuid[])"
_FOLLOWERS = """
    SELECT DISTINCT follower_id FROM unnest(%s::uuid[]) AS author (id)
    CROSS JOIN LATERAL (SELECT follower_id FROM follows WHERE followee_id = author.id LIMIT %s) AS followers
"""
AnyRow = TypeVar("AnyRow", bound=Model)


class MemberCard(TypedDict):
    """What is shown of a member beside a post. id: as text."""

    id: str
    username: str
    display_name: str


@contextmanager
def _served(milliseconds: int = SERVING_MS) -> Iterator[None]:
    """Let PostgreSQL give up a statement after that time, and give up PostgreSQL itself a little later
    (`OperationalError`). A transaction keeps its own limit."""
    if connection.in_atomic_block:
        yield
        return
    with postgres.within(milliseconds / 1000 + _GRACE_SECONDS), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        yield


# For serving --------------------------------------------------------------------------------------------------------


def followers_of(author_ids: Collection[UUID], each: int) -> list[UUID]:
    """The members that follow any of the authors, each once; of an author at most `each`."""
    with _served(), connection.cursor() as cursor:
        cursor.execute(_FOLLOWERS, [list(author_ids), each])
        return [row[0] for row in cursor]


def followees_of(user_id: UUID, limit: int = 10_000) -> list[UUID]:
    """The members that a member follows, the latest followed first."""
    rows = Follow.objects.filter(follower_id=user_id).order_by("-created_at").values_list("followee_id", flat=True)
    with _served():
        return list(rows[:limit])


def hidden_authors(user_id: UUID) -> set[UUID]:
    """Authors that the viewer must not see: blocked by either side, or muted by the viewer."""
    mine = Block.objects.filter(blocker_id=user_id).values_list("blocked_id")
    theirs = Block.objects.filter(blocked_id=user_id, kind=Block.Kind.BLOCK).values_list("blocker_id")
    with _served():
        return {row[0] for row in mine.union(theirs)}


def recent_posts_of(
    author_ids: Collection[UUID], since: datetime, limit: int, until: datetime | None = None
) -> list[Post]:
    """The newest posts of these authors since then, newest first."""
    with _served():
        return list(_newest(since, until).filter(author_id__in=author_ids)[:limit])


def recent_posts(
    since: datetime, limit: int, hidden: Collection[UUID] = (), until: datetime | None = None
) -> list[Post]:
    """The newest posts since then of all members but the `hidden`, newest first."""
    with _served():
        return list(_newest(since, until).exclude(author_id__in=hidden)[:limit])


def _newest(since: datetime, until: datetime | None) -> QuerySet[Post]:
    rows = Post.objects.filter(created_at__gte=since).order_by("-created_at", "-id")
    return rows if until is None else rows.filter(created_at__lte=until)


def authors_of(post_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Post id → author id; posts that do not exist are missing."""
    with _served():
        return dict(Post.objects.filter(id__in=post_ids).values_list("id", "author_id"))


def posts_by_ids(post_ids: Collection[UUID]) -> dict[UUID, Post]:
    """Post id → post; posts that do not exist are missing."""
    with _served():
        return {post.id: post for post in Post.objects.filter(id__in=post_ids)}


def reaction_counts(post_ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
    """Post id → how many likes and comments it has, for all of them."""

    def by_post(rows: QuerySet[Any]) -> dict[UUID, int]:
        return dict(rows.filter(post_id__in=post_ids).values_list("post_id").annotate(Count("id")))

    with _served():
        likes, comments = by_post(Like.objects.all()), by_post(Comment.objects.all())
    return {post: (likes.get(post, 0), comments.get(post, 0)) for post in post_ids}


def member_cards(ids: Collection[str]) -> dict[str, MemberCard]:
    """Member id → card, ids as text; members that do not exist are missing.

    The ids travel as one array: with a parameter for each this took three times as long for a feed's authors.
    """
    with _served(), connection.cursor() as cursor:
        cursor.execute(_CARDS, [list(ids)])
        return {row[0]: MemberCard(id=row[0], username=row[1], display_name=row[2] or row[1]) for row in cursor}


# Lists --------------------------------------------------------------------------------------------------------------


def _page(rows: QuerySet[AnyRow], *, limit: int, cursor: Cursor | None, time: str = "created_at") -> Page[AnyRow]:
    """One page, newest first. One row more than asked for tells whether another page follows."""
    if cursor:
        at = cursor.created_at
        later = Q(**{f"{time}__lt": at}) | Q(**{time: at, "id__lt": cursor.id})
        # The first condition is implied; the index is searched with it.
        rows = rows.filter(**{f"{time}__lte": at}).filter(later)
    found = list(rows.order_by(f"-{time}", "-id")[: limit + 1])
    items = found[:limit]
    if len(found) <= limit:
        return Page(items, None)
    last: Any = items[-1]
    return Page(items, Cursor(getattr(last, time), last.id).encode())


def members(*, limit: int, cursor: Cursor | None = None) -> Page[User]:
    return _page(User.objects.filter(is_active=True), limit=limit, cursor=cursor, time="date_joined")


def member(member_id: UUID) -> User:
    """Raises `NotFound`."""
    found = User.objects.filter(id=member_id, is_active=True).first()
    if found is None:
        raise NotFound("There is no such member.")
    return found


def posts(*, author_id: UUID | None = None, limit: int, cursor: Cursor | None = None) -> Page[Post]:
    rows = Post.objects.all() if author_id is None else Post.objects.filter(author_id=author_id)
    return _page(rows, limit=limit, cursor=cursor)


def post(post_id: UUID) -> Post:
    """Raises `NotFound`."""
    found = Post.objects.filter(id=post_id).first()
    if found is None:
        raise NotFound("There is no such post.")
    return found


def follows(*, of: UUID, incoming: bool, limit: int, cursor: Cursor | None = None) -> Page[Follow]:
    """Whom a member follows, or with `incoming` who follows the member."""
    rows = Follow.objects.filter(followee_id=of) if incoming else Follow.objects.filter(follower_id=of)
    return _page(rows, limit=limit, cursor=cursor)


def likes(*, post_id: UUID, limit: int, cursor: Cursor | None = None) -> Page[Like]:
    return _page(Like.objects.filter(post_id=post_id), limit=limit, cursor=cursor)


def comments(*, post_id: UUID, limit: int, cursor: Cursor | None = None) -> Page[Comment]:
    return _page(Comment.objects.filter(post_id=post_id), limit=limit, cursor=cursor)


def blocks(*, blocker_id: UUID, limit: int, cursor: Cursor | None = None) -> Page[Block]:
    return _page(Block.objects.filter(blocker_id=blocker_id), limit=limit, cursor=cursor)


def blocked_between(one: UUID, other: UUID) -> bool:
    """Whether either of two members blocks the other."""
    either = Q(blocker_id=one, blocked_id=other) | Q(blocker_id=other, blocked_id=one)
    return Block.objects.filter(either, kind=Block.Kind.BLOCK).exists()


def active_members(ids: Iterable[UUID]) -> set[UUID]:
    """Those of the ids that belong to active members."""
    return set(User.objects.filter(id__in=set(ids), is_active=True).values_list("id", flat=True))
