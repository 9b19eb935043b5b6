"""The lists of the admin, by whatever address."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("page", "moment"),
    [
        ("community/post", "created_at"),
        ("community/comment", "created_at"),
        ("community/like", "created_at"),
        ("community/follow", "created_at"),
        ("community/block", "created_at"),
        ("ingestion/deadletter", "created_at"),
        ("ingestion/replay", "at"),
        ("jobs/jobrun", "started_at"),
        ("ranking/breakerevent", "at"),
    ],
)
def test_a_year_that_no_calendar_has_is_refused(admin_client: Client, page: str, moment: str) -> None:
    address = f"/admin/{page}/"
    asked = f"{address}?{moment}__year="
    assert admin_client.get(f"{asked}2026").status_code == 200
    answer = admin_client.get(f"{asked}99999999999999999999")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{address}?e=1")


@pytest.mark.parametrize("rest", ["9999", "9999&created_at__month=12"])
def test_so_is_the_last_year_of_all(admin_client: Client, rest: str) -> None:
    """It has no next one, and its last month none."""
    assert admin_client.get(f"/admin/community/post/?created_at__year={rest}").headers["Location"].endswith("?e=1")
