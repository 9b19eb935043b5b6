"""The page on a small screen, with long names and with names that are written from right to left."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.apps import Apps
from tests.browser.feeds import befriended, card_of, open_as
from tests.world import World

PHONE = {"width": 360, "height": 740}


def lines_of(text: Locator) -> int:
    """Into how many lines an element's last text is broken."""
    return int(
        text.evaluate(
            "element => { const range = document.createRange(); range.selectNodeContents(element.lastChild);"
            " return new Set([...range.getClientRects()].map(box => box.top)).size }"
        )
    )


def test_what_one_scrolls_to_on_a_phone_stays_there(page: Page, apps: Apps, world: World) -> None:
    page.set_viewport_size(PHONE)
    open_as(page, apps, world.member())
    last = page.locator("#pulse dt", has_text="breaker")
    expect(last).not_to_be_in_viewport()
    last.scroll_into_view_if_needed()
    for _ in range(2):
        with page.expect_response("**/pulse*") as answered:
            pass
        answered.value.finished()
    expect(last).to_be_in_viewport()


def test_a_long_name_leaves_the_page_its_own(page: Page, apps: Apps, world: World) -> None:
    reader = world.member()
    world.sql("UPDATE users SET display_name = %s WHERE id = %s", "Donaudampfschifffahrtsgesellschaft", reader)
    page.set_viewport_size(PHONE)
    open_as(page, apps, reader)
    expect(page.locator(".chooser summary")).to_contain_text("Donaudampf")
    assert lines_of(page.locator(".brand")) == 1


@pytest.mark.parametrize("width", [320, 1280])
def test_a_long_name_leaves_its_menu_on_the_page(page: Page, apps: Apps, world: World, width: int) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.sql("UPDATE users SET display_name = %s WHERE id = %s", "W" * 80, author)
    world.wait_in_feed(reader, post)
    page.set_viewport_size({"width": width, "height": 800})
    open_as(page, apps, reader)
    card_of(page, post).locator(".dots summary").click()
    mute = card_of(page, post).get_by_role("button", name="Mute")
    expect(mute).to_be_in_viewport(ratio=1)
    assert mute.evaluate(
        "button => button.getBoundingClientRect().right < button.closest('.menu').getBoundingClientRect().right"
    )


def test_a_name_from_right_to_left_does_not_take_the_number_behind_it(page: Page, apps: Apps, world: World) -> None:
    (author, reader), friend = befriended(world), world.member()
    post = world.post(author)
    world.sql("UPDATE users SET display_name = 'علي حسن' WHERE id = %s", friend)
    world.sql(
        "INSERT INTO comments (user_id, post_id, text, created_at) VALUES (%s, %s, 'yes', now() - interval '5 min')",
        friend,
        post,
    )
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card_of(page, post).get_by_role("button", name="Open").click()
    said = card_of(page, post).locator(".comments li")
    expect(said).to_contain_text("5 min")
    assert said.evaluate(
        "said => { const [name, age] = said.children; const digit = document.createRange();"
        " digit.setStart(age.firstChild, 0); digit.setEnd(age.firstChild, 1);"
        " return digit.getBoundingClientRect().left >= name.getBoundingClientRect().right }"
    )
