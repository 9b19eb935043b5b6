"""The page for who walks it by keyboard: nothing takes their place away."""

from uuid import UUID

from playwright.sync_api import Page, expect

from tests.apps import Apps
from tests.browser.feeds import befriended, card_of, open_as
from tests.world import World


def at_unfollow(page: Page, apps: Apps, world: World) -> tuple[UUID, UUID]:
    """(author, post): a reader's feed with the post and one behind it, and the focus on the button that unfollows its
    author."""
    author, reader = befriended(world)
    post, behind = world.post(author), world.post(author, hours_ago=20)
    world.wait_in_feed(reader, post, behind)
    open_as(page, apps, reader)
    name = world.sql_one("SELECT username FROM users WHERE id = %s", author)
    card_of(page, post).get_by_role("link", name=name).focus()
    page.keyboard.press("Tab")
    return author, post


def test_a_follow_by_keyboard_keeps_the_focus(page: Page, apps: Apps, world: World) -> None:
    _, post = at_unfollow(page, apps, world)
    expect(card_of(page, post).get_by_role("button", name="Unfollow")).to_be_focused()
    page.keyboard.press("Enter")
    button = card_of(page, post).locator("form.follow button")
    expect(button).to_have_text("Follow")
    expect(button).to_be_focused()


def mute(page: Page, post: UUID) -> None:
    card_of(page, post).locator(".dots summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(card_of(page, post).get_by_role("button", name="Mute")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card_of(page, post)).to_have_count(0)


def test_from_a_muted_author_one_goes_on_at_the_next_post(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    other = world.member()
    world.follow(reader, other)
    post, behind = world.post(author), world.post(other, hours_ago=20)
    world.wait_in_feed(reader, post)
    world.wait_in_feed(reader, behind)
    open_as(page, apps, reader)
    shown = page.locator(f"#post-{post}, .posts article:not(.by-{author})").evaluate_all(
        "cards => cards.map(card => card.id)"
    )
    expected = shown[shown.index(f"post-{post}") + 1]
    mute(page, post)
    expect(page.locator(f"#{expected}")).to_be_focused()
    undo = page.locator("#notice").get_by_role("button", name="Undo")
    undo.focus()
    page.keyboard.press("Enter")
    expect(undo).to_have_count(0)
    expect(page.locator("#notice")).to_be_focused()


def test_a_feed_is_not_replaced_under_who_walks_it_by_keyboard(page: Page, apps: Apps, world: World) -> None:
    author, post = at_unfollow(page, apps, world)
    world.post(author)
    expect(page.get_by_role("button", name="1 new post")).to_be_visible()
    expect(card_of(page, post).get_by_role("button", name="Unfollow")).to_be_focused()


def test_from_a_post_that_is_deleted_one_goes_on_at_the_next(page: Page, apps: Apps, world: World) -> None:
    _, post = at_unfollow(page, apps, world)
    expected = page.locator(f".posts > li:has(#post-{post}) + li article").get_attribute("id")
    world.sql("DELETE FROM posts WHERE id = %s", post)
    expect(card_of(page, post)).to_have_count(0)
    expect(page.locator(f"#{expected}")).to_be_focused()


def test_escape_leaves_one_where_one_is_and_closes_the_menu_one_is_in(page: Page, apps: Apps, world: World) -> None:
    _, post = at_unfollow(page, apps, world)
    summary = card_of(page, post).locator(".dots summary")
    writing = page.get_by_label("Post as")
    summary.focus()
    page.keyboard.press("Enter")
    writing.focus()
    page.keyboard.press("Escape")
    expect(writing).to_be_focused()
    summary.focus()
    page.keyboard.press("Enter")
    card_of(page, post).get_by_role("button", name="Mute").focus()
    page.keyboard.press("Escape")
    expect(card_of(page, post).locator(".dots")).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()


def test_that_one_has_posted_is_said_where_a_screen_reader_listens(page: Page, apps: Apps, world: World) -> None:
    """In a region that was there before: what is said in one that comes with its text, many do not read."""
    open_as(page, apps, world.member())
    listening = page.get_by_role("status").element_handle()
    page.get_by_label("Post as").fill("written by keyboard")
    page.get_by_role("button", name="Post", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Posted.")).to_be_visible()
    assert "Posted." in listening.inner_text()
    expect(page.get_by_role("button", name="Post", exact=True)).to_be_focused()
