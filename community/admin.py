"""The community for staff: find and read everything, delete what must go. Writing is for members."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db import router
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.http import HttpRequest

from community import services
from community.models import Block, Comment, Follow, Like, Post, User
from nova.admin import Dated

_INACTIVE = (
    "Who is not active is listed and suggested nowhere and can neither post, comment, like nor follow. Their posts stay"
    " in feeds until they are deleted: search Posts for the user name."
)
_RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class _Counted:
    """Says how much goes along with what is deleted. Django lists every row of it: of a post that a million like that
    is more than a page, or a process, can hold. To be named before `ModelAdmin`."""

    model: type[Model]
    admin_site: admin.AdminSite

    def get_deleted_objects(
        self, objs: Sequence[Model] | QuerySet[Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        collector = Collector(using=router.db_for_write(self.model))
        collector.collect(objs)
        counts = {model: len(rows) for model, rows in collector.data.items()}
        unread: dict[type[Model], QuerySet[Model]] = {}
        for rows in collector.fast_deletes:
            # Some are found in two ways, as likes of one's own posts.
            unread[rows.model] = unread[rows.model] | rows if rows.model in unread else rows
        counts |= {model: counts.get(model, 0) + rows.count() for model, rows in unread.items()}
        names = {model: count for model, count in counts.items() if count}

        def may_go(model: type[Model]) -> bool:
            if not self.admin_site.is_registered(model):
                return True
            page = self.admin_site.get_model_admin(model)
            rows = collector.data.get(model, ())
            return page.has_delete_permission(request) and all(page.has_delete_permission(request, one) for one in rows)

        forbidden = {str(model._meta.verbose_name) for model in names if not may_go(model)}
        shown = [f"{one._meta.verbose_name}: {one}" for one in objs]
        return shown, {str(model._meta.verbose_name_plural): count for model, count in names.items()}, forbidden, []

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.delete_queryset(request, self.model._base_manager.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        queryset.delete()


@admin.register(User)
class MemberAdmin(_Counted, UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "display_name", "is_active", "is_staff", "date_joined")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("id", "username", "display_name", "email")
    ordering = ("-date_joined",)
    readonly_fields = ("id", "date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("id", "username", "display_name", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Rights",
            {
                "fields": ("is_active", *_RIGHTS),
                "description": _INACTIVE,
            },
        ),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )

    # Whoever could give rights, or a new password to one who has them, would have all rights there are.

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if _is_superuser(request) else (*fixed, *_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        services.do_delete_members(queryset)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _may_touch(request: HttpRequest, member: User | None) -> bool:
    return member is None or _is_superuser(request) or not (member.is_staff or member.is_superuser)


class _RowAdmin(_Counted, Dated):
    """Rows that members write: staff reads and deletes."""

    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Post)
class PostAdmin(_RowAdmin):
    list_display = ("created_at", "author", "__str__", "id")
    list_select_related = ("author",)
    search_fields = ("=id", "text", "author__username")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Post]) -> None:
        services.do_delete_posts(queryset)


@admin.register(Comment)
class CommentAdmin(_RowAdmin):
    list_display = ("created_at", "user", "__str__", "post_id")
    list_select_related = ("user",)
    search_fields = ("=id", "=post__id", "text", "user__username")


@admin.register(Like)
class LikeAdmin(_RowAdmin):
    list_display = ("created_at", "user", "post_id")
    list_select_related = ("user",)
    search_fields = ("=post__id", "user__username")


@admin.register(Follow)
class FollowAdmin(_RowAdmin):
    list_display = ("created_at", "follower", "followee")
    list_select_related = ("follower", "followee")
    search_fields = ("follower__username", "followee__username")


@admin.register(Block)
class BlockAdmin(_RowAdmin):
    list_display = ("created_at", "blocker", "blocked", "kind")
    list_filter = ("kind",)
    list_select_related = ("blocker", "blocked")
    search_fields = ("blocker__username", "blocked__username")
