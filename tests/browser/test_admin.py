"""Staff at work in the admin, by clicking."""

from collections.abc import Callable
from uuid import uuid4

from playwright.sync_api import Page, expect

from nova import kafka, topics
from tests.apps import Apps
from tests.browser.conftest import log_in
from tests.client import wait_until
from tests.world import World

LOOK = ("ingestion.view_deadletter", "ingestion.view_replay")


def _dead_letter(world: World) -> tuple[int, bytes]:
    """A message that cannot be an event, produced to Kafka: the id of the dead letter it becomes, and its bytes."""
    raw = f"not an event {uuid4().hex}".encode()
    producer = kafka.producer()
    producer.produce(topics.EVENTS, value=raw)
    assert producer.flush(30) == 0
    rows = wait_until(lambda: world.sql_rows("SELECT id FROM dead_letters WHERE raw = %s", raw), "the dead letter")
    return rows[0][0], raw


def test_staff_replays_a_dead_letter_by_clicking(
    page: Page, apps: Apps, world: World, staff: Callable[..., str]
) -> None:
    letter, raw = _dead_letter(world)
    name = staff(*LOOK, "ingestion.replay_deadletter")
    page.goto(f"{apps.url}/admin/ingestion/deadletter/{letter}/change/")
    log_in(page, name)
    expect(page.get_by_text(raw.decode()).first).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".messagelist")).to_contain_text("1 replayed")
    expect(page.get_by_role("button", name="Replay")).to_be_disabled()

    # Who did it stands in the audit. The same bytes came again, still no event: a second letter names the first.
    page.goto(f"{apps.url}/admin/ingestion/replay/")
    expect(page.locator("#result_list tbody tr", has_text=name)).to_have_count(1)
    again = wait_until(
        lambda: world.sql_rows("SELECT id FROM dead_letters WHERE raw = %s AND id <> %s", raw, letter),
        "the second letter",
    )
    page.goto(f"{apps.url}/admin/ingestion/deadletter/{again[0][0]}/change/")
    expect(page.get_by_role("link", name=f"dead letter {letter}")).to_be_visible()


def test_who_may_only_look_finds_nothing_to_click(
    page: Page, apps: Apps, world: World, staff: Callable[..., str]
) -> None:
    letter, _ = _dead_letter(world)
    page.goto(f"{apps.url}/admin/ingestion/deadletter/{letter}/change/")
    log_in(page, staff(*LOOK))
    expect(page.locator("#content h1")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    token = page.context.cookies()
    csrf = next(cookie["value"] for cookie in token if cookie["name"] == "csrftoken")
    answer = page.request.post(
        f"{apps.url}/admin/ingestion/deadletter/{letter}/replay/",
        headers={"X-CSRFToken": csrf, "Referer": f"{apps.url}/admin/"},
    )
    assert answer.status == 403
    assert world.sql_rows("SELECT state FROM dead_letters WHERE id = %s", letter) == [("waiting",)]
