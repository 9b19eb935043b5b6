"""Who may look through a member's eyes, act as them, and what that takes of theirs."""

from collections.abc import Callable

import urllib3
from playwright.sync_api import Page, expect

from tests.apps import Apps
from tests.browser.conftest import log_in
from tests.browser.feeds import befriended, card_of, open_as
from tests.world import World


def test_looking_takes_none_of_the_members_own_streams(page: Page, apps: Apps, world: World) -> None:
    _, reader = befriended(world)
    with page.expect_response(lambda answer: "/api/feed/stream" in answer.url):
        open_as(page, apps, reader)
    own = {"Authorization": f"Bearer {world.api.token(reader)}"}
    with urllib3.PoolManager(retries=urllib3.Retry(respect_retry_after_header=False)) as http:
        held = [
            http.request("GET", f"{apps.url}/api/feed/stream", headers=own, preload_content=False, timeout=30)
            for _ in range(3)
        ]
        assert [stream.status for stream in held] == [200] * 3


def test_a_page_that_is_shown_no_more_says_so(
    page: Page, plain_web: Apps, world: World, staff: Callable[..., str]
) -> None:
    page.goto(f"{plain_web.url}/?as={world.member()}")
    log_in(page, staff("feed.view_as_member"))
    expect(page.locator("#pulse")).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_text("Load it again")).to_be_visible()


def test_without_the_demo_strangers_are_sent_to_log_in(
    page: Page, plain_web: Apps, world: World, staff: Callable[..., str]
) -> None:
    reader = world.member()
    page.goto(f"{plain_web.url}/?as={reader}")
    expect(page).to_have_url(f"{plain_web.url}/admin/login/?next=/%3Fas%3D{reader}")
    fragment = page.request.get(f"{plain_web.url}/page/{reader}/feed", headers={"HX-Request": "true"})
    assert fragment.status == 404

    log_in(page, staff())
    # Staff without the permission finds nothing here.
    assert page.request.get(f"{plain_web.url}/?as={reader}").status == 404


def test_staff_may_look_but_act_only_with_that_permission(
    page: Page, plain_web: Apps, world: World, staff: Callable[..., str]
) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    page.goto(f"{plain_web.url}/?as={reader}")
    log_in(page, staff("feed.view_as_member"))
    expect(card_of(page, post)).to_be_visible()
    expect(page.get_by_text("You may look, but not act")).to_be_visible()
    expect(card_of(page, post).get_by_role("button", name="likes")).to_have_count(0)
    card_of(page, post).get_by_role("button", name="Open").click()
    expect(card_of(page, post).get_by_text("No comments yet.")).to_be_visible()
    expect(card_of(page, post).get_by_label("Comment as")).to_have_count(0)

    page.context.clear_cookies()
    page.goto(f"{plain_web.url}/?as={reader}")
    log_in(page, staff("feed.view_as_member", "feed.act_as_member"))
    card_of(page, post).get_by_role("button", name="likes").click()
    expect(card_of(page, post).get_by_role("button", name="likes")).to_have_attribute("aria-pressed", "true")
