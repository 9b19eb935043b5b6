"""A community whose copies are what PostgreSQL is: a plugin, named by the modules that use it."""

import pytest

from tests.client import wait_until
from tests.integration.commands import verify
from tests.integration.test_cdc_copies import Community
from tests.world import World

NASTY = "a|b\\N\t\"quoted\" 'single'\n%s {x} 🎈 İ ﷽ \u0001 \u007f"
MEDIA = (
    '[{"url": "https://example.org/a b: c, d.png", "kind": "image", "hash": "\\u0001\\"\\\\ é"},'
    ' {"url": "x",  "kind": "audio"}]'
)


@pytest.fixture
def community(world: World) -> Community:
    """Members with rows in every table, the copies the same as PostgreSQL."""
    made = Community(world, seed=5)
    a, b, c, *_ = made.members
    one, other = made.posts[:2]
    world.sql("UPDATE posts SET text = %s, media = %s WHERE id = %s", NASTY, MEDIA, one)
    for reader in (a, b):
        world.sql("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", reader, c)
        world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", reader, one)
        world.sql("INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, %s)", reader, other, NASTY)
        world.sql("INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'mute')", c, reader)
    made.check()
    # The reactions of other tests have no rows, and to even them out takes longer than the patience of a run.
    wait_until(lambda: verify("--repair")[0] in (0, 2), "copies and counts that are right", 240)
    return made
