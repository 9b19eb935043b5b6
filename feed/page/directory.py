"""What the page asks of PostgreSQL: members by name, and what ties the viewer to the posts shown.

Where PostgreSQL does not answer the page goes on without names and buttons; only a search says so.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Count, Exists, OuterRef, Q

from community.models import Block, Comment, Follow, Like, Post, User
from feed.page.cards import Person, Relations, age_text, stranger

DOWN = (OperationalError, InterfaceError)
MOST_PEOPLE = 20
FEW_PEOPLE = 6
MOST_COMMENTS = 20
MOST_HIDDEN = 100


@dataclass(frozen=True, slots=True)
class Acquaintance(Person):
    """A member, and whether the viewer follows them."""

    following: bool


@dataclass(frozen=True, slots=True)
class Hidden:
    """A member that the viewer muted or blocked (`kind`)."""

    person: Person
    kind: str

    @property
    def done(self) -> str:
        return "muted" if self.kind == Block.Kind.MUTE else "blocked"


@dataclass(frozen=True, slots=True)
class Said:
    """A comment as the page shows it."""

    author: Person
    text: str
    age: str


def person(user: User) -> Person:
    return Person(user.id, user.display_name or user.username, user.username)


def member(identifier: UUID) -> Person | None:
    """The member, None when there is none, a stranger while PostgreSQL does not answer."""
    try:
        found = User.objects.filter(id=identifier, is_active=True).first()
    except DOWN:
        return stranger(identifier)
    return person(found) if found else None


def usual_member() -> Person | None:
    """Whose feed is worth a first look: the member who follows the most; None while nobody follows anybody."""
    try:
        row = (
            Follow.objects.values_list("follower").annotate(number=Count("id")).order_by("-number", "follower").first()
        )
    except DOWN:
        return None
    return member(row[0]) if row else None


def named(query: str) -> Q:
    """Members whose name or user name has the words in it; everybody for an empty query."""
    found = Q(is_active=True)
    for word in query.split():
        found &= Q(username__icontains=word) | Q(display_name__icontains=word)
    return found


def search(query: str) -> Sequence[Person]:
    """Members by name, at most `MOST_PEOPLE`. Raises OperationalError."""
    return [
        person(user) for user in User.objects.filter(named(query)).order_by("display_name", "username")[:MOST_PEOPLE]
    ]


def people(viewer: UUID, query: str) -> Sequence[Acquaintance]:
    """By name, or without a query some that the viewer does not follow yet, the newest first."""
    follows = Follow.objects.filter(follower=viewer, followee=OuterRef("pk"))
    blocks = Block.objects.filter(
        Q(blocker=viewer, blocked=OuterRef("pk")) | Q(blocked=viewer, blocker=OuterRef("pk"), kind=Block.Kind.BLOCK)
    )
    rows = (
        User.objects.filter(named(query)).exclude(pk=viewer).exclude(Exists(blocks)).annotate(following=Exists(follows))
    )
    if not query:
        rows = rows.filter(following=False)
    rows = rows.order_by(*(("display_name", "username") if query else ("-date_joined",)))
    found = rows[: MOST_PEOPLE if query else FEW_PEOPLE].values_list("id", "display_name", "username", "following")
    return [Acquaintance(key, name or username, username, following) for key, name, username, following in found]


def hidden(viewer: UUID) -> Sequence[Hidden]:
    rows = Block.objects.filter(blocker=viewer).select_related("blocked").order_by("-created_at")[:MOST_HIDDEN]
    return [Hidden(person(row.blocked), row.kind) for row in rows]


def relations(viewer: UUID, authors: Collection[UUID], posts: Collection[UUID]) -> Relations:
    """What ties the viewer to these authors and posts; `known=False` while PostgreSQL does not answer."""
    try:
        following = Follow.objects.filter(follower=viewer, followee__in=authors).values_list("followee_id", flat=True)
        liked = Like.objects.filter(user=viewer, post__in=posts).values_list("post_id", flat=True)
        return Relations(True, set(following), set(liked), reactions(posts))
    except DOWN:
        return Relations(known=False)


def reactions(posts: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """Likes and comments of each post as PostgreSQL has them now, {} for a post that is gone; no post while it does
    not answer.

    The feed's own counts are those its snapshot was ranked with; a reader who likes a post wants to see it at once.
    """
    try:
        there = set(Post.objects.filter(id__in=posts).values_list("id", flat=True))
        likes, comments = (
            dict(model.objects.filter(post__in=posts).values_list("post").annotate(Count("id")))
            for model in (Like, Comment)
        )
    except DOWN:
        return {}
    counted = {post: {"likes": likes.get(post, 0), "comments": comments.get(post, 0)} for post in there}
    return {post: counted.get(post, {}) for post in posts}


def comments(post: UUID, now: datetime) -> tuple[Sequence[Said], int]:
    """The latest comments, the oldest of them first, and how many came before them. Raises OperationalError."""
    everything = Comment.objects.filter(post=post)
    rows = everything.select_related("user").order_by("-created_at", "-id")[:MOST_COMMENTS]
    said = [
        Said(person(row.user), row.text, age_text((now - row.created_at).total_seconds())) for row in reversed(rows)
    ]
    return said, max(0, everything.count() - len(said))
