"""Writes of the community. Creating is idempotent on the natural key and safe under races; a call is one transaction.

Errors are DRF's, because they are this code base's words for what a caller did wrong: `NotFound`, `PermissionDenied`,
`ValidationError`, and `Conflict` of nova.rest.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError

from community import selectors
from community.ids import new_id
from community.models import Block, Comment, Follow, Like, Post, User
from nova.rest import Conflict

Media = Sequence[Mapping[str, Any]]


def _check_members(actor_id: UUID, other_id: UUID | None = None) -> None:
    found = selectors.active_members([actor_id] if other_id is None else [actor_id, other_id])
    if actor_id not in found:
        raise PermissionDenied("You are not a member of this community.")
    if other_id is not None and other_id not in found:
        raise NotFound("There is no such member.")


def _check_not_blocked(one: UUID, other: UUID) -> None:
    if one != other and selectors.blocked_between(one, other):
        raise PermissionDenied("One of you blocks the other.")


def _lock_pair(one: UUID, other: UUID) -> None:
    """Until the end of the transaction nobody else changes what ties these two members.

    Without it a follow that looked for blocks just before a block was made would outlive the block.
    """
    key = (one.int ^ other.int) & (2**63 - 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


@transaction.atomic
def do_create_post(*, author_id: UUID, text: str, media: Media = (), post_id: UUID | None = None) -> tuple[Post, bool]:
    """A post, and whether it is new. With `post_id` a repeated call finds the post of the first one.

    Raises `Conflict` when that id names another post, `PermissionDenied` for an unknown author.
    """
    _check_members(author_id)
    attached = [dict(item) for item in media]
    post, created = Post.objects.get_or_create(
        id=post_id or new_id(), defaults={"author_id": author_id, "text": text, "media": attached}
    )
    if not created and (post.author_id, post.text, post.media) != (author_id, text, attached):
        raise Conflict("This id names another post.")
    return post, created


@transaction.atomic
def do_delete_post(*, actor_id: UUID, post_id: UUID) -> None:
    """Raises `NotFound`, and `PermissionDenied` for another member's post."""
    post = selectors.post(post_id)
    if post.author_id != actor_id:
        raise PermissionDenied("Only its author may delete a post.")
    do_delete_posts(Post.objects.filter(id=post_id))


@transaction.atomic
def do_delete_posts(posts: QuerySet[Post]) -> None:
    """These posts and what is tied to them, also while others like and comment them."""
    Post.objects.filter(id__in=_held(posts)).delete()


@transaction.atomic
def do_delete_members(members: QuerySet[User]) -> None:
    """These members and all that is theirs, also while others follow them and react to their posts."""
    ids = _held(members)
    _held(Post.objects.filter(author__in=ids))
    User.objects.filter(id__in=ids).delete()


def _held(rows: QuerySet[Any]) -> list[UUID]:
    """The ids of rows that are about to go. Whoever ties anything to them from now on waits until the end of the
    transaction, and is refused then.

    Without it a like that came after the likes were deleted would keep its post, and undo the whole.
    """
    model: type[Model] = rows.model
    locked = model._base_manager.filter(pk__in=rows.values("pk")).order_by("pk").select_for_update()
    return list(locked.values_list("pk", flat=True))


@transaction.atomic
def do_follow(*, follower_id: UUID, followee_id: UUID) -> tuple[Follow, bool]:
    """The follow, and whether it is new. Raises `ValidationError`, `NotFound`, `PermissionDenied` (blocked)."""
    if follower_id == followee_id:
        raise ValidationError({"followee_id": ["You cannot follow yourself."]})
    _check_members(follower_id, followee_id)
    _lock_pair(follower_id, followee_id)
    _check_not_blocked(follower_id, followee_id)
    return Follow.objects.get_or_create(follower_id=follower_id, followee_id=followee_id)


def do_unfollow(*, follower_id: UUID, followee_id: UUID) -> None:
    """Also when there is no such follow."""
    Follow.objects.filter(follower_id=follower_id, followee_id=followee_id).delete()


@transaction.atomic
def do_like(*, user_id: UUID, post_id: UUID) -> tuple[Like, bool]:
    """The like, and whether it is new. Raises `NotFound`, `PermissionDenied` (blocked by the author, or blocking)."""
    _check_members(user_id)
    _check_not_blocked(user_id, selectors.post(post_id).author_id)
    return Like.objects.get_or_create(user_id=user_id, post_id=post_id)


def do_unlike(*, user_id: UUID, post_id: UUID) -> None:
    """Also when there is no such like."""
    Like.objects.filter(user_id=user_id, post_id=post_id).delete()


@transaction.atomic
def do_comment(*, user_id: UUID, post_id: UUID, text: str, comment_id: UUID | None = None) -> tuple[Comment, bool]:
    """The comment, and whether it is new. With `comment_id` a repeated call finds the comment of the first one.

    Raises `Conflict` when that id names another comment, `NotFound`, `PermissionDenied` (blocked).
    """
    _check_members(user_id)
    _check_not_blocked(user_id, selectors.post(post_id).author_id)
    comment, created = Comment.objects.get_or_create(
        id=comment_id or new_id(), defaults={"user_id": user_id, "post_id": post_id, "text": text}
    )
    if not created and (comment.user_id, comment.post_id, comment.text) != (user_id, post_id, text):
        raise Conflict("This id names another comment.")
    return comment, created


@transaction.atomic
def do_delete_comment(*, actor_id: UUID, comment_id: UUID) -> None:
    """Raises `NotFound`, and `PermissionDenied` for another member's comment."""
    comment = Comment.objects.filter(id=comment_id).first()
    if comment is None:
        raise NotFound("There is no such comment.")
    if comment.user_id != actor_id:
        raise PermissionDenied("Only its author may delete a comment.")
    comment.delete()


@transaction.atomic
def do_block(*, blocker_id: UUID, blocked_id: UUID, kind: str = Block.Kind.BLOCK) -> tuple[Block, bool]:
    """The block or mute, and whether it is new. A block ends the follows between the two, both ways."""
    if blocker_id == blocked_id:
        raise ValidationError({"blocked_id": ["You cannot block yourself."]})
    _check_members(blocker_id, blocked_id)
    _lock_pair(blocker_id, blocked_id)
    if kind == Block.Kind.BLOCK:
        there = Q(follower_id=blocker_id, followee_id=blocked_id)
        back = Q(follower_id=blocked_id, followee_id=blocker_id)
        Follow.objects.filter(there | back).delete()
    return Block.objects.get_or_create(blocker_id=blocker_id, blocked_id=blocked_id, kind=kind)


def do_unblock(*, blocker_id: UUID, blocked_id: UUID, kind: str | None = None) -> None:
    """Take back a block or a mute, or with no `kind` both; also when there is none."""
    rows = Block.objects.filter(blocker_id=blocker_id, blocked_id=blocked_id)
    (rows if kind is None else rows.filter(kind=kind)).delete()
