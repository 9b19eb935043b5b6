"""The addresses of the page, below `/`."""

from django.urls import path

from feed.page import actions, views

_as = "page/<id:member>"
urlpatterns = [
    path("", views.home, name="page"),
    path("page/members", views.members, name="page-members"),
    path(f"{_as}/feed", views.feed, name="page-feed"),
    path(f"{_as}/pulse", views.pulse, name="page-pulse"),
    path(f"{_as}/stream", views.stream, name="page-stream"),
    path(f"{_as}/trending", views.trending, name="page-trending"),
    path(f"{_as}/why/<id:post>", views.why, name="page-why"),
    path(f"{_as}/people", views.people, name="page-people"),
    path(f"{_as}/hidden", views.hidden, name="page-hidden"),
    path(f"{_as}/post", actions.post, name="page-post"),
    path(f"{_as}/follow/<id:author>", actions.follow, name="page-follow"),
    path(f"{_as}/hide/<id:author>", actions.hide, name="page-hide"),
    path(f"{_as}/like/<id:post>", actions.like, name="page-like"),
    path(f"{_as}/comment/<id:post>", actions.comment, name="page-comment"),
    path(f"{_as}/open/<id:post>", actions.open_post, name="page-open"),
]
