"""What tests share: members, and clients that call as them."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from nova import identity, limits
from nova.management.commands.issue_token import issue

# Imported before it is named as a plugin, which is too late: its asserts shall tell what they compared all the same.
pytest.register_assert_rewrite("tests.streams")

UNIT = Path(__file__).resolve().parent / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(UNIT):
            item.add_marker("engines")


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    """What a process remembers between calls must not leak between tests."""
    identity.remembered.clear()
    limits.local.clear()
    limits.forgive_redis()


@pytest.fixture
def make_member(db) -> Callable[..., UUID]:
    """make_member(**fields) → the id of a new member."""

    def make(**fields) -> UUID:
        fields.setdefault("username", f"member-{uuid4().hex[:12]}")
        return get_user_model().objects.create_user(**fields).id

    return make


@pytest.fixture
def client_of() -> Callable[..., APIClient]:
    """client_of(member_id, service=False, act_for=None) → a REST client with that member's token."""

    def make(member: UUID, *, service: bool = False, act_for: UUID | None = None) -> APIClient:
        headers = {"HTTP_AUTHORIZATION": f"Bearer {issue(member, hours=1, service=service)}"}
        if act_for:
            headers["HTTP_X_ACT_FOR"] = str(act_for)
        client = APIClient()
        client.credentials(**headers)
        return client

    return make
