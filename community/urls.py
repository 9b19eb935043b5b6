"""The addresses of the community's REST calls, below /api/."""

from django.urls import path

from community import views

api_urlpatterns = [
    path("members", views.MembersView.as_view(), name="members"),
    path("members/<uuid:member_id>", views.MemberView.as_view(), name="member"),
    path("posts", views.PostsView.as_view(), name="posts"),
    path("posts/<uuid:post_id>", views.PostView.as_view(), name="post"),
    path("follows", views.FollowsView.as_view(), name="follows"),
    path("follows/<uuid:followee_id>", views.FollowView.as_view(), name="follow"),
    path("likes", views.LikesView.as_view(), name="likes"),
    path("likes/<uuid:post_id>", views.LikeView.as_view(), name="like"),
    path("comments", views.CommentsView.as_view(), name="comments"),
    path("comments/<uuid:comment_id>", views.CommentView.as_view(), name="comment"),
    path("blocks", views.BlocksView.as_view(), name="blocks"),
    path("blocks/<uuid:blocked_id>", views.BlockView.as_view(), name="block"),
]
