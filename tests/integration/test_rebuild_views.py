"""rebuild_views puts right what differs from the events, while events go on streaming in."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ingestion import writer
from nova import clickhouse
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.batches import lines, messages, read
from tests.integration.commands import manage
from tests.integration.ingest import Crowd, Tail
from tests.integration.test_failures_clickhouse import forget_tokens
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")

# A crowd's events are a day old at most, and a part takes its time.
RECENT = ("--days", "3")
ALL = {"event_ids", "post_metrics_1h", "seen_posts", "user_author_90d", "post_counters"}


def test_spoilt_aggregates_are_recomputed_while_events_stream_in(world: World) -> None:
    crowd, tail = Crowd(), Tail(world)
    crowd.send(crowd.events(3000))
    tail.wait()
    crowd.assert_exact()
    # What others left behind is not this test's matter.
    assert manage("rebuild_views", *RECENT).code == 0
    ids = ", ".join(f"'{post}'" for post in crowd.posts)
    mine = f"post_id IN ({ids})"
    for table in ("post_counters", "post_metrics_1h"):
        clickhouse.command(f"INSERT INTO {table} SELECT * FROM {table} WHERE {mine} LIMIT 5")
    clickhouse.command(f"DELETE FROM user_author_90d WHERE author_id = '{crowd.author}' AND likes != 0")
    clickhouse.command(f"DELETE FROM seen_posts WHERE post_id = '{crowd.posts[0]}'")
    of_one = f"SELECT event_id FROM events WHERE post_id = '{crowd.posts[1]}'"
    clickhouse.command(f"DELETE FROM event_ids WHERE event_id IN ({of_one})")
    assert set(oracle.miscounted(crowd.posts)) == ALL

    dry = manage("rebuild_views", "--dry-run", *RECENT)
    assert dry.code == 1, dry.said
    assert all(name in dry.said for name in ALL)
    assert set(oracle.miscounted(crowd.posts)) == ALL

    over = threading.Event()

    def stream() -> None:
        while not over.is_set():
            crowd.send(crowd.events(40))
            over.wait(0.05)

    streaming = threading.Thread(target=stream)
    streaming.start()
    try:
        ran = manage("rebuild_views", *RECENT)
    finally:
        over.set()
        streaming.join()
    assert ran.code == 0, ran.said
    tail.wait()
    crowd.assert_exact()
    dry = manage("rebuild_views", "--dry-run", *RECENT)
    assert dry.code == 0, dry.said
    tail.close()


def test_days_that_are_not_whole_any_more_are_left_alone(world: World) -> None:
    """Their sums cannot be computed: most of their events may be gone."""
    old = datetime.now(UTC).date() - timedelta(days=45)
    user, author = uuid4(), uuid4()
    clickhouse.command(
        "INSERT INTO user_author_90d (user_id, author_id, day, likes, comments, shares, interactions) "
        f"VALUES ('{user}', '{author}', '{old}', 4, 0, 0, 4)"
    )
    assert world.affinity(user, author) == 4
    assert manage("rebuild_views", "user_author_90d").code == 0
    assert world.affinity(user, author) == 4


def test_a_post_counts_its_events_of_all_days(world: World) -> None:
    """A clock that is behind makes an event older than its post: it counts, whatever days are asked for."""
    crowd, tail, now = Crowd(), Tail(world), datetime.now(UTC)
    crowd.send([*crowd.events(100), *crowd.events(100, event_time=now - timedelta(days=5))])
    tail.wait()
    crowd.assert_exact()
    spoil = f"INSERT INTO post_counters SELECT * FROM post_counters WHERE post_id = '{crowd.posts[0]}'"
    clickhouse.command(spoil)
    assert set(oracle.miscounted(crowd.posts)) == {"post_counters"}
    assert manage("rebuild_views", "post_counters", *RECENT).code == 0
    crowd.assert_exact()
    # Some of that day may be gone already: a sum over what is left would be too small.
    partly_gone = (now - timedelta(days=30)).replace(hour=23, minute=59, second=59)
    body = read(messages(lines([crowd.event(post_id=crowd.posts[0], action="view", event_time=partly_gone)])))
    writer.insert(body.arrow_stream(uuid4().hex, 0), f"test:{uuid4()}")
    clickhouse.command(spoil)
    before = world.counters(crowd.posts[0])
    assert manage("rebuild_views", "post_counters").code == 0
    assert world.counters(crowd.posts[0]) == before
    tail.close()


@pytest.mark.parametrize("group", ["events", "events-of-another-group"])
def test_half_a_batch_is_not_taken_for_a_whole_one(world: World, group: str) -> None:
    """A batch that was begun and never ended, by whatever group: nothing is touched until its consumer has ended it."""
    crowd, tail = Crowd(), Tail(world)
    crowd.send(crowd.events(50))
    tail.wait()
    clickhouse.command(f"DELETE FROM event_ids WHERE event_id = '{next(iter(crowd.sent))}'")
    # A partition that nobody reads.
    world.sql(
        "INSERT INTO consumer_offsets (consumer, topic, topic_id, partition, epoch, next_offset, pending_lo,"
        " pending_hi, pending_token, high_watermark, updated_at)"
        " VALUES (%s, 'events', 'another', 0, 1, 5, 5, 9, 't', 9, now())",
        group,
    )
    try:
        ran = manage("rebuild_views", "event_ids", "--patience", "2", *RECENT)
        assert ran.code == 3
        assert "stays half inserted" in ran.said
        assert set(oracle.miscounted(crowd.posts)) == {"event_ids"}
    finally:
        world.sql("DELETE FROM consumer_offsets WHERE topic_id = 'another'")
    assert manage("rebuild_views", "event_ids", *RECENT).code == 0
    wait_until(lambda: oracle.miscounted(crowd.posts) == {}, "the id back in its place")
    tail.close()


def test_a_replaced_day_still_knows_what_it_absorbed(world: World) -> None:
    """REPLACE PARTITION keeps the table's log of tokens: a batch that is sent again afterwards changes nothing."""
    crowd = Crowd()
    events = crowd.events(50, event_time=datetime.now(UTC))
    body, token = read(messages(lines(events))).arrow_stream(uuid4().hex, 0), f"test:{uuid4()}"
    writer.insert(body, token)
    clickhouse.command(f"INSERT INTO post_metrics_1h SELECT * FROM post_metrics_1h WHERE post_id = '{crowd.posts[0]}'")
    assert set(oracle.miscounted(crowd.posts)) == {"post_metrics_1h"}
    assert manage("rebuild_views", "post_metrics_1h", *RECENT).code == 0
    writer.insert(body, token)
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)
    # Control: without the log it would be added again.
    forget_tokens("post_metrics_1h")
    writer.insert(body, token)
    assert set(oracle.miscounted(crowd.posts)) == {"post_metrics_1h"}
    assert manage("rebuild_views", "post_metrics_1h", *RECENT).code == 0


def test_unknown_names_are_told(world: World) -> None:
    ran = manage("rebuild_views", "no_such_view")
    assert ran.code == 64
    assert "post_counters" in ran.said


@pytest.mark.parametrize("wrong", [["--days", "0"], ["--days", "many"], ["--since", "yesterday"]])
def test_a_wrong_argument_has_a_code_of_its_own(wrong: list[str]) -> None:
    """1 says that something differs."""
    ran = manage("rebuild_views", *wrong)
    assert ran.code == 64, ran.said
