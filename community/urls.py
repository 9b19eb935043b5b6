"""The addresses of the community's REST calls, below /api/."""

from django.urls import path

from community import views

api_urlpatterns = [
    path("members", views.MembersView.as_view(), name="members"),
    path("members/<id:member_id>", views.MemberView.as_view(), name="member"),
    path("posts", views.PostsView.as_view(), name="posts"),
    path("posts/<id:post_id>", views.PostView.as_view(), name="post"),
    path("follows", views.FollowsView.as_view(), name="follows"),
    path("follows/<id:followee_id>", views.FollowView.as_view(), name="follow"),
    path("likes", views.LikesView.as_view(), name="likes"),
    path("likes/<id:post_id>", views.LikeView.as_view(), name="like"),
    path("comments", views.CommentsView.as_view(), name="comments"),
    path("comments/<id:comment_id>", views.CommentView.as_view(), name="comment"),
    path("blocks", views.BlocksView.as_view(), name="blocks"),
    path("blocks/<id:blocked_id>", views.BlockView.as_view(), name="block"),
]
