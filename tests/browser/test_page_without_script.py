"""The page in a browser that runs none of its JavaScript: forms and links do."""

from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from tests.apps import Apps
from tests.browser.feeds import befriended, card_of, open_as
from tests.world import World


@pytest.fixture(autouse=True)
def _no_script(page: Page) -> None:
    page.route("**/*.js*", lambda route: route.abort())


def test_a_like_leads_back_to_its_post(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card_of(page, post).get_by_role("button", name="likes").click()
    expect(card_of(page, post).get_by_role("button", name="likes")).to_have_attribute("aria-pressed", "true")
    assert page.url.endswith(f"#post-{post}")


def test_a_post_is_opened_and_commented(page: Page, apps: Apps, world: World) -> None:
    """On a later page too, which stays."""
    author, reader = befriended(world)
    long = "word " * 200 + "the end"
    posts = [world.post(author, f"post {hours} {long}", hours_ago=hours) for hours in range(1, 26)]
    world.wait_in_feed(reader, *posts)
    open_as(page, apps, reader)
    page.get_by_role("link", name="Show more").click()
    page.wait_for_url("**cursor=**")
    card = page.locator(".card").nth(2)
    post = UUID((card.get_attribute("id") or "").removeprefix("post-"))
    expect(card.locator(".text")).not_to_contain_text("the end")
    card.get_by_role("button", name="Read more").click()
    expect(card_of(page, post).locator(".text")).to_contain_text("the end")
    expect(card_of(page, post).locator(".comments")).to_contain_text("No comments yet")
    card_of(page, post).get_by_role("textbox").fill("seen without a script")
    card_of(page, post).get_by_role("button", name="Send").click()
    expect(card_of(page, post).locator(".comments")).to_contain_text("seen without a script")
    assert "cursor=" in page.url


def test_an_opened_post_that_the_page_does_not_hold_stands_before_it(page: Page, apps: Apps, world: World) -> None:
    reader = world.member()
    own = world.post(reader, "one's own posts are not in one's own feed")
    page.goto(f"{apps.url}/?as={reader}&open={own}")
    expect(card_of(page, own)).to_contain_text("one's own posts")
    name = world.sql_one("SELECT display_name FROM users WHERE id = %s", reader)
    expect(card_of(page, own).get_by_role("link", name=name)).to_be_visible()
    expect(card_of(page, own)).to_contain_text("No comments yet")
    world.sql("DELETE FROM posts WHERE id = %s", own)
    page.reload()
    expect(card_of(page, own)).to_contain_text("This post was deleted")


def test_lists_that_need_a_script_say_so(page: Page, apps: Apps, world: World) -> None:
    page.context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
    open_as(page, apps, world.member())
    expect(page.locator("#side noscript p")).to_have_text(["This list needs JavaScript."] * 3)
    expect(page.locator("#side").get_by_text("Loading …").first).to_be_hidden()


def test_a_new_post_is_confirmed(page: Page, apps: Apps, world: World) -> None:
    open_as(page, apps, world.member())
    page.get_by_label("Post as").fill("said without a script")
    page.get_by_role("button", name="Post").click()
    expect(page.locator("#notice")).to_contain_text("Posted.")


@pytest.mark.parametrize("kind", ["Mute", "Block"])
def test_hiding_somebody_can_be_taken_back(page: Page, apps: Apps, world: World, kind: str) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card_of(page, post).locator(".dots summary").click()
    card_of(page, post).get_by_role("button", name=kind).click()
    expect(page.locator("#notice")).to_contain_text("is muted." if kind == "Mute" else "is blocked.")
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#notice")).to_be_empty()
    assert not world.sql_rows("SELECT 1 FROM blocks WHERE blocker_id = %s", reader)
