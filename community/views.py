"""The REST calls of the community: read the request, let a service or a selector do it, answer."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community import selectors, services
from community import serializers as shapes
from community.paging import Page
from nova.identity import viewer_id
from nova.schema import errors


def _read(shape: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    reader = shape(data=data)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def _paged(item: type[serializers.BaseSerializer[Any]], name: str) -> type[serializers.Serializer[Any]]:
    """The shape of a page, for the schema."""
    fields = {
        "items": item(many=True),
        "cursor": serializers.CharField(allow_null=True, help_text="Send it back as cursor= for the next page."),
        "has_more": serializers.BooleanField(),
    }
    return type(f"{name}Page", (serializers.Serializer,), fields)


def _page(page: Page[Any], shape: type[serializers.BaseSerializer[Any]]) -> Response:
    items = shape(page.items, many=True).data
    return Response({"items": items, "cursor": page.cursor, "has_more": page.has_more})


def _made(row: Any, created: bool, shape: type[serializers.BaseSerializer[Any]]) -> Response:
    return Response(shape(row).data, status=201 if created else 200)


class CommunityView(APIView):
    throttle_scope = "community"


class MembersView(CommunityView):
    @extend_schema(
        summary="Members, the newest first",
        parameters=[shapes.PageQuery],
        responses={200: _paged(shapes.MemberSerializer, "Member")},
    )
    def get(self, request: Request) -> Response:
        return _page(selectors.members(**_read(shapes.PageQuery, request.query_params)), shapes.MemberSerializer)


class MemberView(CommunityView):
    @extend_schema(summary="One member", responses={200: shapes.MemberSerializer, **errors(404)})
    def get(self, request: Request, member_id: UUID) -> Response:
        return Response(shapes.MemberSerializer(selectors.member(member_id)).data)


class PostsView(CommunityView):
    @extend_schema(
        summary="Posts, the newest first",
        parameters=[shapes.PostsQuery],
        responses={200: _paged(shapes.PostSerializer, "Post")},
    )
    def get(self, request: Request) -> Response:
        asked = _read(shapes.PostsQuery, request.query_params)
        page = selectors.posts(author_id=asked.pop("author"), **asked)
        return _page(page, shapes.PostSerializer)

    @extend_schema(
        summary="Publish a post",
        description="200 instead of 201 when the id that the client chose names this very post already.",
        request=shapes.PostInput,
        responses={201: shapes.PostSerializer, 200: shapes.PostSerializer, **errors(409)},
    )
    def post(self, request: Request) -> Response:
        said = _read(shapes.PostInput, request.data)
        made = services.do_create_post(
            author_id=viewer_id(request), text=said["text"], media=said["media"], post_id=said.get("id")
        )
        return _made(*made, shapes.PostSerializer)


class PostView(CommunityView):
    @extend_schema(summary="One post", responses={200: shapes.PostSerializer, **errors(404)})
    def get(self, request: Request, post_id: UUID) -> Response:
        return Response(shapes.PostSerializer(selectors.post(post_id)).data)

    @extend_schema(summary="Delete an own post", responses={204: None, **errors(404)})
    def delete(self, request: Request, post_id: UUID) -> Response:
        services.do_delete_post(actor_id=viewer_id(request), post_id=post_id)
        return Response(status=204)


class FollowsView(CommunityView):
    @extend_schema(
        summary="Whom a member follows, or who follows a member",
        parameters=[shapes.FollowsQuery],
        responses={200: _paged(shapes.FollowSerializer, "Follow")},
    )
    def get(self, request: Request) -> Response:
        asked = _read(shapes.FollowsQuery, request.query_params)
        page = selectors.follows(
            of=asked["of"] or viewer_id(request),
            incoming=asked["direction"] == "in",
            limit=asked["limit"],
            cursor=asked["cursor"],
        )
        return _page(page, shapes.FollowSerializer)

    @extend_schema(
        summary="Follow a member",
        description="201 for a new follow, 200 when it was there already.",
        request=shapes.FollowInput,
        responses={201: shapes.FollowSerializer, 200: shapes.FollowSerializer, **errors(404, 409)},
    )
    def post(self, request: Request) -> Response:
        said = _read(shapes.FollowInput, request.data)
        return _made(*services.do_follow(follower_id=viewer_id(request), **said), shapes.FollowSerializer)


class FollowView(CommunityView):
    @extend_schema(summary="Stop following a member", responses={204: None})
    def delete(self, request: Request, followee_id: UUID) -> Response:
        services.do_unfollow(follower_id=viewer_id(request), followee_id=followee_id)
        return Response(status=204)


class LikesView(CommunityView):
    @extend_schema(
        summary="Likes of a post",
        parameters=[shapes.ReactionsQuery],
        responses={200: _paged(shapes.LikeSerializer, "Like")},
    )
    def get(self, request: Request) -> Response:
        asked = _read(shapes.ReactionsQuery, request.query_params)
        return _page(selectors.likes(post_id=asked.pop("post"), **asked), shapes.LikeSerializer)

    @extend_schema(
        summary="Like a post",
        description="201 for a new like, 200 when it was there already.",
        request=shapes.LikeInput,
        responses={201: shapes.LikeSerializer, 200: shapes.LikeSerializer, **errors(404, 409)},
    )
    def post(self, request: Request) -> Response:
        said = _read(shapes.LikeInput, request.data)
        return _made(*services.do_like(user_id=viewer_id(request), **said), shapes.LikeSerializer)


class LikeView(CommunityView):
    @extend_schema(summary="Take a like back", responses={204: None})
    def delete(self, request: Request, post_id: UUID) -> Response:
        services.do_unlike(user_id=viewer_id(request), post_id=post_id)
        return Response(status=204)


class CommentsView(CommunityView):
    @extend_schema(
        summary="Comments on a post, the newest first",
        parameters=[shapes.ReactionsQuery],
        responses={200: _paged(shapes.CommentSerializer, "Comment")},
    )
    def get(self, request: Request) -> Response:
        asked = _read(shapes.ReactionsQuery, request.query_params)
        return _page(selectors.comments(post_id=asked.pop("post"), **asked), shapes.CommentSerializer)

    @extend_schema(
        summary="Comment on a post",
        description="200 instead of 201 when the id that the client chose names this very comment already.",
        request=shapes.CommentInput,
        responses={201: shapes.CommentSerializer, 200: shapes.CommentSerializer, **errors(404, 409)},
    )
    def post(self, request: Request) -> Response:
        said = _read(shapes.CommentInput, request.data)
        made = services.do_comment(
            user_id=viewer_id(request), post_id=said["post_id"], text=said["text"], comment_id=said.get("id")
        )
        return _made(*made, shapes.CommentSerializer)


class CommentView(CommunityView):
    @extend_schema(summary="Delete an own comment", responses={204: None, **errors(404)})
    def delete(self, request: Request, comment_id: UUID) -> Response:
        services.do_delete_comment(actor_id=viewer_id(request), comment_id=comment_id)
        return Response(status=204)


class BlocksView(CommunityView):
    @extend_schema(
        summary="The viewer's own blocks and mutes",
        parameters=[shapes.PageQuery],
        responses={200: _paged(shapes.BlockSerializer, "Block")},
    )
    def get(self, request: Request) -> Response:
        asked = _read(shapes.PageQuery, request.query_params)
        return _page(selectors.blocks(blocker_id=viewer_id(request), **asked), shapes.BlockSerializer)

    @extend_schema(
        summary="Block or mute a member",
        description="A block works both ways and ends the follows between the two; a mute only hides. "
        "201 for a new one, 200 when it was there already.",
        request=shapes.BlockInput,
        responses={201: shapes.BlockSerializer, 200: shapes.BlockSerializer, **errors(404, 409)},
    )
    def post(self, request: Request) -> Response:
        said = _read(shapes.BlockInput, request.data)
        return _made(*services.do_block(blocker_id=viewer_id(request), **said), shapes.BlockSerializer)


class BlockView(CommunityView):
    @extend_schema(summary="Take a block or mute back", parameters=[shapes.UnblockQuery], responses={204: None})
    def delete(self, request: Request, blocked_id: UUID) -> Response:
        asked = _read(shapes.UnblockQuery, request.query_params)
        services.do_unblock(blocker_id=viewer_id(request), blocked_id=blocked_id, **asked)
        return Response(status=204)
