"""What the pages of the admin have in common."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """Staff may look; nobody writes these rows by hand. To be named before `ModelAdmin` or an inline."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
