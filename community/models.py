"""The community as PostgreSQL knows it: the one truth about members, posts and what ties them.

The tables flow through change data capture, so each has its natural key as a unique constraint, defaults in the
database for ids and times (a row inserted with psql is complete) and REPLICA IDENTITY FULL (by migration).
"""

from typing import Any

import orjson
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from community.ids import DatabaseId, new_id
from nova.depth import is_deeper


class User(AbstractUser):
    """A member of the community; staff are members too. `id` is the `sub` claim of a viewer's token."""

    id = models.UUIDField(primary_key=True, default=new_id, db_default=DatabaseId(), editable=False)
    display_name = models.CharField(max_length=80, blank=True, db_default="")

    class Meta:
        db_table = "users"
        indexes = [models.Index(fields=["-date_joined", "-id"], name="users_by_joining", condition=Q(is_active=True))]

    def __str__(self) -> str:
        return self.display_name or self.username


class _Row(models.Model):
    """What every source table has: a key in time order and the moment of its creation."""

    id = models.UUIDField(primary_key=True, default=new_id, db_default=DatabaseId(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class _Media(models.JSONField):
    """What was written past Nova may be nested too deep to be read, or to be written again: that is read as nothing.
    Numbers of any length are read as such that can be written."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        try:
            said = None if value is None else orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
        return [] if is_deeper(said) else said

    def deconstruct(self) -> Any:
        """In the database it is a JSONField as any."""
        name, _, arguments, named = super().deconstruct()
        return name, "django.db.models.JSONField", arguments, named


class Post(_Row):
    """What a member says. `media`: a list of `{"url", "kind": "image"|"video"|"audio", "hash"?}` in order."""

    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="posts")
    text = models.TextField(blank=True, db_default="")
    media = _Media(blank=True, default=list, db_default=models.Value([], models.JSONField()))
    updated_at = models.DateTimeField(db_default=Now(), auto_now=True)

    class Meta:
        db_table = "posts"
        indexes = [
            models.Index(fields=["author", "-created_at", "-id"], name="posts_by_author"),
            models.Index(fields=["-created_at", "-id"], name="posts_by_time"),
        ]

    def __str__(self) -> str:
        return self.text[:60] or f"post {self.id}"


class Follow(_Row):
    """`follower` reads what `followee` posts."""

    # The indexes of lists begin with what a foreign key's own would hold.
    follower = models.ForeignKey(User, on_delete=models.CASCADE, related_name="follows_out", db_index=False)
    followee = models.ForeignKey(User, on_delete=models.CASCADE, related_name="follows_in", db_index=False)

    class Meta:
        db_table = "follows"
        indexes = [
            models.Index(fields=["follower", "-created_at", "-id"], name="follows_by_follower"),
            models.Index(fields=["followee", "-created_at", "-id"], name="follows_by_followee"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["follower", "followee"], name="follows_natural_key"),
            models.CheckConstraint(condition=~Q(follower=F("followee")), name="follows_not_oneself"),
        ]

    def __str__(self) -> str:
        return f"{self.follower_id} follows {self.followee_id}"


class _Reaction(_Row):
    """A member's reaction to a post. `post_author` is the post's author, filled by a trigger, never by the writer:
    a change record then tells whose post it was even after the post is gone."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="%(class)ss", db_index=False)
    # Reactions to a member's posts go with the posts. To look for them by their author, for whom there is no index,
    # would read all of everybody's.
    post_author = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, related_name="+", editable=False, db_index=False, db_constraint=False
    )

    class Meta:
        abstract = True


class Like(_Reaction):
    class Meta:
        db_table = "likes"
        indexes = [models.Index(fields=["post", "-created_at", "-id"], name="likes_by_post")]
        constraints = [models.UniqueConstraint(fields=["user", "post"], name="likes_natural_key")]

    def __str__(self) -> str:
        return f"{self.user_id} likes {self.post_id}"


class Comment(_Reaction):
    text = models.TextField()
    updated_at = models.DateTimeField(db_default=Now(), auto_now=True)

    class Meta:
        db_table = "comments"
        indexes = [models.Index(fields=["post", "-created_at", "-id"], name="comments_by_post")]

    def __str__(self) -> str:
        return self.text[:60]


class Block(_Row):
    """`blocker` wants no more of `blocked`. A block works both ways, a mute only for the blocker."""

    class Kind(models.TextChoices):
        BLOCK = "block"
        MUTE = "mute"

    blocker = models.ForeignKey(User, on_delete=models.CASCADE, related_name="blocks_out")
    blocked = models.ForeignKey(User, on_delete=models.CASCADE, related_name="blocks_in")
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.BLOCK, db_default=Kind.BLOCK)

    class Meta:
        db_table = "blocks"
        constraints = [
            models.UniqueConstraint(fields=["blocker", "blocked", "kind"], name="blocks_natural_key"),
            models.CheckConstraint(condition=~Q(blocker=F("blocked")), name="blocks_not_oneself"),
            models.CheckConstraint(condition=Q(kind__in=["block", "mute"]), name="blocks_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.blocker_id} {self.kind}s {self.blocked_id}"


class CdcHeartbeat(models.Model):
    """One row that Debezium touches, so that the replication slot moves on while the other tables are quiet."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "cdc_heartbeat"

    def __str__(self) -> str:
        return f"{self.beat_at:%H:%M:%S}"
