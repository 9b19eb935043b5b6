"""Rows out, bounded input in."""

from typing import Any

from django.core.validators import URLValidator
from rest_framework import serializers

from community.models import Block, Comment, Follow, Like, Post, User
from community.paging import MOST, USUAL, Cursor
from nova.rest import UuidField

LONGEST_POST = 5000
LONGEST_COMMENT = 2000
MOST_MEDIA = 10
MEDIA_KINDS = ("image", "video", "audio")

# Out ----------------------------------------------------------------------------------------------------------------


class MemberSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ("id", "username", "display_name")


class MediaSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000, validators=[URLValidator(schemes=["http", "https"])])
    kind = serializers.ChoiceField(choices=MEDIA_KINDS)
    hash = serializers.CharField(max_length=128, required=False, help_text="Equal for equal files, if known.")


class StoredMedia(serializers.ListField):
    """Rows may come from elsewhere (psql, an import): the objects among what they hold are shown as they are."""

    child = serializers.DictField()

    def to_representation(self, data: Any) -> list[Any]:
        return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


class PostSerializer(serializers.ModelSerializer[Post]):
    author_id = serializers.UUIDField()
    media = StoredMedia()

    class Meta:
        model = Post
        fields = ("id", "author_id", "created_at", "updated_at", "text", "media")


class FollowSerializer(serializers.ModelSerializer[Follow]):
    follower_id = serializers.UUIDField()
    followee_id = serializers.UUIDField()

    class Meta:
        model = Follow
        fields = ("follower_id", "followee_id", "created_at")


class LikeSerializer(serializers.ModelSerializer[Like]):
    user_id = serializers.UUIDField()
    post_id = serializers.UUIDField()

    class Meta:
        model = Like
        fields = ("user_id", "post_id", "created_at")


class CommentSerializer(serializers.ModelSerializer[Comment]):
    user_id = serializers.UUIDField()
    post_id = serializers.UUIDField()

    class Meta:
        model = Comment
        fields = ("id", "user_id", "post_id", "created_at", "updated_at", "text")


class BlockSerializer(serializers.ModelSerializer[Block]):
    blocked_id = serializers.UUIDField()

    class Meta:
        model = Block
        fields = ("blocked_id", "kind", "created_at")


# In: bodies ---------------------------------------------------------------------------------------------------------


class PostInput(serializers.Serializer[Any]):
    id = UuidField(required=False, help_text="Chosen by the client, so that a repeated call makes one post.")
    text = serializers.CharField(max_length=LONGEST_POST, allow_blank=True, default="", trim_whitespace=False)
    media = MediaSerializer(many=True, max_length=MOST_MEDIA, default=list)  # type: ignore[call-arg]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["text"].strip() and not attrs["media"]:
            raise serializers.ValidationError({"text": ["A post needs a text or media."]})
        return attrs


class FollowInput(serializers.Serializer[Any]):
    followee_id = UuidField()


class LikeInput(serializers.Serializer[Any]):
    post_id = UuidField()


class CommentInput(serializers.Serializer[Any]):
    id = UuidField(required=False, help_text="Chosen by the client, so that a repeated call makes one.")
    post_id = UuidField()
    text = serializers.CharField(max_length=LONGEST_COMMENT)


class BlockInput(serializers.Serializer[Any]):
    blocked_id = UuidField()
    kind = serializers.ChoiceField(choices=Block.Kind.choices, default=Block.Kind.BLOCK)


# In: queries --------------------------------------------------------------------------------------------------------


class CursorField(serializers.CharField):
    """The `cursor` of the page before."""

    def to_internal_value(self, data: Any) -> Any:
        text = super().to_internal_value(data)
        try:
            return Cursor.decode(text) if text else None
        except ValueError:
            raise serializers.ValidationError("This is not a cursor of an earlier answer.") from None


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=USUAL)
    cursor = CursorField(required=False, allow_blank=True, default=None, help_text="The cursor of the page before.")


class PostsQuery(PageQuery):
    author = serializers.UUIDField(required=False, default=None, help_text="Only this member's posts.")


class FollowsQuery(PageQuery):
    of = serializers.UUIDField(required=False, default=None, help_text="Whose follows; the viewer's own by default.")
    direction = serializers.ChoiceField(
        choices=("out", "in"), default="out", help_text="out: whom the member follows; in: who follows the member."
    )


class ReactionsQuery(PageQuery):
    post = serializers.UUIDField(help_text="The post whose likes or comments are listed.")


class UnblockQuery(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(
        choices=Block.Kind.choices, required=False, default=None, help_text="Only a block, or only a mute."
    )
