"""verify_sync finds exactly what differs, repairs it, and what it counted; nothing is reported that only streams in."""

import json
from collections.abc import Container
from uuid import UUID, uuid4

import pytest
from confluent_kafka import TopicPartition

from nova import clickhouse, kafka, topics
from tests.apps import Apps
from tests.client import wait_until
from tests.integration.commands import changed, manage, verify
from tests.integration.test_cdc_copies import Community, counted, same
from tests.integration.test_replay_dead_letters import change
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")
pytest_plugins = ("tests.community_fixtures",)


def spoil(table: str, where: str, **values: str) -> None:
    """Write rows again with other `values` (SQL) and a slightly higher version."""
    other = ", ".join(f"{value} AS {name}" for name, value in {"version": "version + 1", **values}.items())
    rows = f"SELECT * FROM {table} FINAL WHERE {where}"
    clickhouse.command(f"INSERT INTO {table} SELECT * REPLACE ({other}) FROM ({rows})")


def test_exactly_what_differs_is_found_and_healed(world: World, community: Community) -> None:
    assert verify()[:2] == (0, {})
    a, _, c, *_ = community.members
    one, other = community.posts[:2]
    # Lost, made up, and spoilt, each in a table where that can be counted.
    clickhouse.command(f"DELETE FROM posts_cdc WHERE id = '{one}'")
    spoil("posts_cdc", f"id = '{other}'", id=f"toUUID('{uuid4()}')", author_id=f"toUUID('{a}')")
    spoil("posts_cdc", f"id = '{other}'", text="'spoilt'")
    spoil("posts_by_author", f"id = '{community.posts[2]}'", media="'[]  '")
    clickhouse.command(f"DELETE FROM follows_cdc WHERE followee_id = '{c}'")
    later = "created_at + toIntervalMicrosecond(1)"
    spoil("comments_cdc", f"post_id = '{other}' AND user_id = '{a}'", created_at=later)
    spoil("likes_cdc", f"post_id = '{one}' AND user_id = '{a}'", user_id=f"toUUID('{c}')", id=f"toUUID('{uuid4()}')")
    spoil("blocks_by_blocked", f"blocked_id = '{a}'", kind="'block'")
    expected = {
        "posts_cdc": (1, 1, 1),
        # The views pass on what was inserted, but know nothing of what was deleted.
        "posts_by_author": (0, 1, 2),
        "follows_cdc": (2, 0, 0),
        "comments_cdc": (0, 0, 1),
        "likes_cdc": (0, 1, 0),
        "blocks_by_blocked": (0, 1, 0),
    }
    code, found, said = verify("--range-rows", "7")
    assert (code, found) == (1, expected), said
    code, found, said = verify("--repair")
    assert (code, found) == (2, expected), said
    # The like that was made up had never been counted, and was taken back. Whichever run its event reaches in time
    # evens it out.
    code, found, again = verify("--repair")
    assert (code, found) in ((0, {}), (2, {})), again
    assert (said + again).count(f"likes of post {one}: 1 counted too seldom") == 1
    assert verify()[:2] == (0, {})
    assert same(world, community.members)


def test_of_any_number_of_ghosts_each_repair_holds_and_deletes_so_many(world: World) -> None:
    """All behind PostgreSQL's last id, as after a restore from a backup, are in one range."""
    wait_until(lambda: verify("follows", "--repair")[0] in (0, 2), "copies that are right", 60)
    made = "toUUID(concat('ffffffff-ffff-7fff-bfff-', leftPad(toString(number), 12, '0')))"
    clickhouse.command(
        "INSERT INTO follows_cdc (id, follower_id, followee_id, created_at, version)"
        f" SELECT {made}, generateUUIDv4(), generateUUIDv4(), now(), 8 FROM numbers(50)"
    )
    ghosts = "follows_cdc FINAL WHERE startsWith(toString(id), 'ffffffff-ffff-7')"
    ran = []
    for _ in range(4):
        # Those that are there as they should be take no room.
        process = changed(["ingestion.reconcile.MOST_ROWS=20"], "verify_sync", "follows", "--repair", "--patience", "1")
        said, _ = process.communicate(timeout=120)
        ran.append((process.returncode, world.count(ghosts)))
        assert ("more than 20 rows differ" in said) == (process.returncode == 1), said
    assert ran == [(1, 30), (1, 10), (2, 0), (0, 0)]


def test_parts_together_see_all(world: World, community: Community) -> None:
    for post in community.posts:
        clickhouse.command(f"DELETE FROM posts_cdc WHERE id = '{post}'")
    parts = [verify("posts", "--range-rows", "3", "--part", f"{number}/3") for number in (1, 2, 3)]
    missing = [found.get("posts_cdc", (0, 0, 0))[0] for _, found, _ in parts]
    assert sum(missing) == len(community.posts)
    assert max(missing) < sum(missing)
    assert verify("posts", "--repair")[0] == 2


def test_changes_under_way_are_no_drift(world: World, community: Community, apps: Apps) -> None:
    """The consumer is away when the comparison begins, and back before its patience ends."""
    apps.process("cdc").freeze()
    try:
        community.act()
        world.sql("UPDATE posts SET text = 'new' WHERE id = %s", community.posts[0])
        code, found, _ = verify("posts")
        # The negative control: without the consumer it is one.
        assert code == 1
        assert found["posts_cdc"][2] >= 1
    finally:
        apps.process("cdc").thaw()
    community.check()
    for _ in range(20):
        community.act()
    assert verify("--patience", "60")[:2] == (0, {})


def test_changes_that_never_came(world: World, community: Community, apps: Apps) -> None:
    """Messages lost, as when a key change is torn apart: rows that are gone stay, and stay counted, until repaired."""
    a, b, *_ = community.members
    one, other = community.posts[:2]
    apps.process("cdc").stop()
    world.sql("UPDATE likes SET post_id = %s WHERE user_id = %s AND post_id = %s", other, a, one)
    world.sql("DELETE FROM likes WHERE user_id = %s AND post_id = %s", b, one)
    world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", b, one)
    world.sql("UPDATE posts SET author_id = %s WHERE id = %s", community.members[4], community.posts[2])
    skip_changes(world)
    apps.restart("cdc")
    code, found, said = verify()
    assert code == 1, said
    assert found["likes_cdc"] == (1, 1, 1), said
    assert not counted(world, [one, other])
    assert verify("--repair")[0] == 2
    community.check()
    assert world.counters(one)["likes"] == 1
    assert world.counters(other)["likes"] == 1


def ends(topic: str) -> dict[int, int]:
    """The end of each partition."""
    client = kafka.consumer("tests-look-only")
    try:
        numbers = client.list_topics(topic, timeout=10).topics[topic].partitions
        return {one: client.get_watermark_offsets(TopicPartition(topic, one), timeout=10)[1] for one in numbers}
    finally:
        client.close()


def skip_changes(world: World, partitions: Container[int] = range(100)) -> None:
    """Everything in these partitions of the change topics now is skipped by the consumer, which is not running."""
    marked, author = topics.of_table("posts"), world.member()
    before = sum(ends(marked).values())
    world.sql("DELETE FROM posts WHERE id = %s", world.post(author))
    wait_until(lambda: sum(ends(marked).values()) >= before + 3, "all changes up to here in Kafka")
    for topic in topics.CDC:
        for number, end in ends(topic).items():
            if number in partitions:
                world.sql(
                    "UPDATE consumer_offsets SET next_offset = %s"
                    " WHERE consumer = 'cdc' AND topic = %s AND partition = %s",
                    end,
                    topic,
                    number,
                )


def test_a_key_change_whose_end_is_lost(world: World, community: Community, apps: Apps) -> None:
    """Case 45: a new key is a deletion and a creation, two messages, often in two partitions; one of them is lost."""
    a, *_ = community.members
    others = [world.member() for _ in range(16)]
    for other in others[:8]:
        world.follow(a, other)
    community.check()
    apps.process("cdc").stop()
    for old, new in zip(others[:8], others[8:], strict=True):
        world.sql("UPDATE follows SET followee_id = %s WHERE follower_id = %s AND followee_id = %s", new, a, old)
    skip_changes(world, partitions=(0, 1))
    apps.restart("cdc")
    code, found, said = verify("follows", "--repair")
    assert code == 2, said
    missing, extra, different = found["follows_cdc"]
    assert missing + extra > 0
    assert different == 0
    community.check()
    assert verify("follows")[0] == 0


def drop_the_slot() -> None:
    ran = manage("shell", "-c", "from ingestion import connector; connector.forget_position()")
    assert ran.code == 0, ran.said


def test_a_lost_slot_leaves_ghosts_that_the_sweep_deletes(world: World, community: Community) -> None:
    a, *_ = community.members
    gone, changed = community.posts[1], community.posts[2]
    drop_the_slot()
    world.sql("DELETE FROM comments WHERE post_id = %s", gone)
    world.sql("DELETE FROM likes WHERE post_id = %s", gone)
    world.sql("DELETE FROM posts WHERE id = %s", gone)
    world.sql("DELETE FROM follows WHERE follower_id = %s", a)
    world.sql("UPDATE posts SET text = 'changed unseen' WHERE id = %s", changed)
    added = world.post(a)
    ran = manage("setup_cdc")
    assert ran.code == 0, ran.said
    where = f"posts_cdc FINAL WHERE id = '{added}' OR (id = '{changed}' AND text = 'changed unseen')"
    wait_until(lambda: world.count(where) == 2, "the new snapshot", 120)
    code, found, said = verify()
    ghosts = {"posts_cdc": (0, 1, 0), "posts_by_author": (0, 1, 0), "comments_cdc": (0, 2, 0), "follows_cdc": (0, 1, 0)}
    assert (code, found) == (1, ghosts), said
    assert verify("--repair")[:2] == (2, ghosts)
    assert verify()[0] == 0
    community.check()


def text_of(post: UUID) -> str:
    return clickhouse.query("SELECT text FROM posts_cdc FINAL WHERE id = {id:UUID}", {"id": str(post)})[0][0]


def test_after_a_restore_the_new_epoch_lets_changes_win_again(world: World, community: Community, apps: Apps) -> None:
    post, ghost = community.posts[0], uuid4()
    # What a restore leaves: copies with positions in a log that is longer than today's.
    spoil("posts_cdc", f"id = '{post}'", text="'of the lost time'", version="version + bitShiftLeft(toUInt64(1), 50)")
    spoil("posts_cdc", f"id = '{post}'", id=f"toUUID('{ghost}')", version="version + bitShiftLeft(toUInt64(1), 50)")
    with world.unmerged("posts_cdc"):
        world.sql("UPDATE posts SET text = 'of today' WHERE id = %s", post)
        wait_until(lambda: world.count(f"posts_cdc WHERE id = '{post}' AND text = 'of today'"), "the change, stored")
    assert text_of(post) == "of the lost time"
    code, _, said = verify("--repair")
    assert code == 1, said
    assert "bump_restore_epoch" in said
    refused = manage("bump_restore_epoch", "--yes")
    assert refused.code == 1
    assert "run_cdc_consumer runs" in refused.said
    assert "run_events_consumer runs" in refused.said
    assert "the connector runs: stop it with PUT /connectors/" in refused.said

    stale = waiting_letter(world, post, change(post, community.members[0], "of a lost letter", lsn=(1 << 52)))
    for name in ("cdc", "events"):
        apps.process(name).stop()
    drop_the_slot()
    unasked = manage("bump_restore_epoch")
    assert unasked.code == 1
    assert "--yes" in unasked.said
    ran = manage("bump_restore_epoch", "--yes", "--reason", "a test")
    assert ran.code == 0, ran.said
    assert "setup_cdc --resnapshot" in ran.said
    # Those that other tests left, too.
    assert "waiting dead letters dismissed" in ran.said
    again = manage("setup_cdc", "--resnapshot")
    assert again.code == 0, again.said
    for name in ("cdc", "events"):
        apps.restart(name)
    wait_until(lambda: text_of(post) == "of today", "the text of today", 120)
    code, found, said = verify("--repair")
    assert code == 2, said
    assert found["posts_cdc"] == (0, 1, 0), said
    assert verify()[:2] == (0, {})
    world.sql("UPDATE posts SET text = 'after it' WHERE id = %s", post)
    wait_until(lambda: text_of(post) == "after it", "a change after the restore")
    # A change from before it, that was kept as a dead letter, would get the new epoch too.
    assert manage("replay_dead_letters", str(stale)).code == 0
    marker = world.post(community.members[0])
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{marker}'"), "a later change")
    assert text_of(post) == "after it"
    history = world.sql_rows(
        "SELECT state, outcome, r.detail FROM dead_letters d JOIN dead_letter_replays r ON r.letter_id = d.id"
        " WHERE d.id = %s",
        stale,
    )
    assert [(state, outcome) for state, outcome, _ in history] == [("dismissed", "refused")]
    assert "from before the restore" in history[0][2]
    community.check()


def waiting_letter(world: World, post: UUID, raw: bytes) -> int:
    """A change of `posts` that could not be stored, long ago."""
    return world.sql_one(
        """INSERT INTO dead_letters (consumer, topic, topic_id, partition, "offset", key, raw, headers, reason, field,
               detail, created_at, state, replay_count)
           VALUES ('cdc', 'nova.public.posts', %s, 0, 1, %s, %s, '[]', 'bad_column', '', '', now(), 'waiting', 0)
           RETURNING id""",
        uuid4().hex,
        json.dumps({"id": str(post)}).encode(),
        raw,
    )
