"""The page on a small screen, with long names and with names that are written from right to left."""

from playwright.sync_api import Page, expect

from tests.apps import Apps
from tests.browser.feeds import befriended, card_of, open_as
from tests.world import World


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
