"""What staff delete, however much goes along with it."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from community.models import Block, Comment, Follow, Like, Post

pytestmark = pytest.mark.django_db
READERS = 30


@pytest.fixture
def author() -> Any:
    """Somebody with a post that many like, who likes it too."""
    members = get_user_model().objects
    author = members.create_user(username="the-author")
    post = Post.objects.create(author=author, text="liked by all")
    for number in range(READERS):
        reader = members.create_user(username=f"reader-{number}")
        Like.objects.create(user=reader, post=post)
        Follow.objects.create(follower=reader, followee=author)
    Like.objects.create(user=author, post=post)
    Comment.objects.create(user=reader, post=post, text="so do I")
    Block.objects.create(blocker=author, blocked=reader)
    return author


def test_what_goes_with_a_post_is_counted_and_not_listed(author: Any, admin_client: Client) -> None:
    """A page with a million likes is one that nobody gets."""
    address = f"/admin/community/post/{author.posts.get().pk}/delete/"
    page = admin_client.get(address).content.decode()
    assert "liked by all" in page
    assert f"Likes: {READERS + 1}" in page
    assert "Comments: 1" in page
    assert "/admin/community/like/" not in page.partition('id="content"')[2]
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Post.objects.exists()
    assert not Like.objects.exists()


def test_so_it_is_with_a_member_and_with_several(author: Any, admin_client: Client) -> None:
    alone = admin_client.get(f"/admin/community/user/{author.pk}/delete/").content.decode()
    form = {"action": "delete_selected", "_selected_action": [author.pk]}
    among = admin_client.post("/admin/community/user/", form).content.decode()
    for page in (alone, among):
        for said in ("Users: 1", "Posts: 1", f"Likes: {READERS + 1}", f"Follows: {READERS}", "Blocks: 1"):
            assert said in page
        assert "the-author" in page
        assert "/admin/community/like/" not in page.partition('id="content"')[2]
    admin_client.post("/admin/community/user/", {**form, "post": "yes"})
    assert get_user_model().objects.filter(username__startswith="reader").count() == READERS
    assert not get_user_model().objects.filter(pk=author.pk).exists()
    assert not any(kind.objects.exists() for kind in (Post, Like, Follow, Comment, Block))


def test_who_may_not_delete_likes_deletes_no_post_that_has_some(author: Any) -> None:
    staff = get_user_model().objects.create_user(username="staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_post", "delete_post", "delete_comment"]))
    client = Client()
    client.force_login(staff)
    address = f"/admin/community/post/{author.posts.get().pk}/delete/"
    assert "your account doesn't have permission" in client.get(address).content.decode().replace("&#x27;", "'")
    assert client.post(address, {"post": "yes"}).status_code == 403
    assert Post.objects.exists()
    Like.objects.all().delete()
    assert client.post(address, {"post": "yes"}).status_code == 302


def test_a_member_is_deleted_without_reading_all_reactions_of_everybody(author: Any) -> None:
    """Those to the member's posts go with the posts; for their author there is no index."""
    with CaptureQueriesContext(connection) as asked:
        author.delete()
    assert not [one["sql"] for one in asked if "post_author_id" in one["sql"].partition("WHERE")[2]]
    assert not Like.objects.exists()


@pytest.fixture
def moderator() -> Client:
    """Staff who may change and delete members, and is no superuser."""
    staff = get_user_model().objects.create_user(username="moderator", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"]))
    client = Client()
    client.force_login(staff)
    return client


def test_who_may_change_members_gives_nobody_rights(moderator: Client) -> None:
    member = get_user_model().objects.create_user(username="a-member")
    form = {"username": "a-member", "is_staff": "on", "is_superuser": "on"}
    assert moderator.post(f"/admin/community/user/{member.pk}/change/", form).status_code == 302
    member.refresh_from_db()
    assert not member.is_active
    assert not member.is_staff
    assert not member.is_superuser


def test_who_may_change_members_does_not_become_other_staff(moderator: Client, admin_user: Any) -> None:
    page = f"/admin/community/user/{admin_user.pk}"
    assert moderator.get(f"{page}/change/").status_code == 200
    assert moderator.post(f"{page}/change/", {"username": "gone"}).status_code == 403
    form = {"password1": "of-the-moderator-1", "password2": "of-the-moderator-1", "usable_password": "true"}
    assert moderator.post(f"{page}/password/", form).status_code == 403
    assert moderator.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    together = {"action": "delete_selected", "_selected_action": [admin_user.pk], "post": "yes"}
    assert moderator.post("/admin/community/user/", together).status_code == 403
    admin_user.refresh_from_db()
    assert admin_user.check_password("password")


def test_superusers_change_both(admin_client: Client) -> None:
    staff = get_user_model().objects.create_user(username="a-colleague", is_staff=True)
    form = {"username": "a-colleague", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert admin_client.post(f"/admin/community/user/{staff.pk}/change/", form).status_code == 302
    staff.refresh_from_db()
    assert staff.is_superuser
