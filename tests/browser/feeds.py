"""Members whose feed is known, and how the page shows it."""

from uuid import UUID

from playwright.sync_api import Locator, Page

from tests.apps import Apps
from tests.client import wait_until
from tests.world import World


def open_as(page: Page, apps: Apps, member: UUID) -> None:
    page.goto(f"{apps.url}/?as={member}")


def say(world: World, member: UUID, post: UUID, times: int = 300) -> None:
    """So many comments of one member: engagement for the post, affinity with its author, yet nothing that trends."""
    statement = "INSERT INTO comments (user_id, post_id, text) SELECT %s, %s, 'yes ' || n FROM generate_series(1, %s) n"
    world.sql(statement, member, post, times)
    wait_until(lambda: world.counters(post)["comments"] == times, "the comments in ClickHouse")


def befriended(world: World) -> tuple[UUID, UUID]:
    """(author, reader): the reader follows the author and reacts so often that their posts lead the reader's feed, also
    when the community of other tests is in it."""
    author, reader = world.member(), world.member()
    older = world.post(author, hours_ago=100)
    say(world, reader, older)
    world.follow(reader, author)
    return author, reader


def card_of(page: Page, post: UUID) -> Locator:
    return page.locator(f"#post-{post}")
