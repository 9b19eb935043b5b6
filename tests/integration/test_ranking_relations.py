"""What a member does to others, and takes back, from PostgreSQL into the feed that is served."""

from uuid import UUID

import pytest

from tests.client import wait_until
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")

BLOCK = "INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, %s)"
UNBLOCK = "DELETE FROM blocks WHERE blocker_id = %s AND blocked_id = %s"


def test_what_a_member_does_and_takes_back_changes_the_feed(world: World) -> None:
    """Unfollow and follow, block and unblock by either side, mute and unmute: each from PostgreSQL into the feed."""
    reader, author, other = (world.member() for _ in range(3))
    for followee in (author, other):
        world.follow(reader, followee)
    post, stays = str(world.post(author)), str(world.post(other))
    world.wait_in_feed(reader, UUID(post), UUID(stays))

    def seen(there: bool, after: str) -> None:
        def look() -> bool:
            ids = world.feed_ids(reader)
            return stays in ids and (post in ids) is there

        wait_until(look, f"the feed after {after}")

    world.sql("DELETE FROM follows WHERE follower_id = %s AND followee_id = %s", reader, author)
    seen(False, "the unfollow")
    world.follow(reader, author)
    seen(True, "the follow")
    for pair, kind in (((reader, author), "block"), ((author, reader), "block"), ((reader, author), "mute")):
        world.sql(BLOCK, *pair, kind)
        seen(False, f"the {kind}")
        world.sql(UNBLOCK, *pair)
        seen(True, f"the end of the {kind}")
