"""The connector: killed, misconfigured, without its slot or its database."""

from collections.abc import Callable

import pytest

from tests.client import wait_until
from tests.integration.alone.stack import Alone, meanwhile, same_soon


@pytest.fixture
def consumer_ends(alone: Alone) -> Callable[[], tuple[int, str]]:
    """Start the consumer a second time, where it should refuse: its exit code and its log."""

    def run() -> tuple[int, str]:
        done = alone.manage("run_cdc_consumer", "--group", "refused")
        return done.returncode, done.stdout + done.stderr

    return run


def test_postgresql_killed_heals_by_itself(alone: Alone) -> None:
    author = alone.member()
    alone.stack.engine("postgres").kill()
    alone.stack.engine("postgres").start()
    post = alone.post(author)
    wait_until(lambda: alone.has(post), "a post after the crash", 120)


def test_a_failed_connector_is_started_again(alone: Alone) -> None:
    """Kafka Connect leaves a task failed for good that met an error which Debezium takes for no passing one."""
    author = alone.member()

    def states() -> list[str]:
        return [task["state"] for task in alone.connect("GET", "/status")["tasks"]]

    alone.sql("ALTER PUBLICATION nova_cdc RENAME TO hidden")
    try:
        alone.connect("POST", "/restart?includeTasks=true")
        wait_until(lambda: states() == ["FAILED"], "the task to fail")
    finally:
        alone.sql("ALTER PUBLICATION hidden RENAME TO nova_cdc")
    post = alone.post(author)
    wait_until(lambda: alone.has(post), "a post after the failure", 120)
    assert states() == ["RUNNING"]


def test_a_connector_that_is_set_otherwise_is_refused_and_mended(alone: Alone, consumer_ends) -> None:
    assert alone.manage("setup_cdc", "--check").returncode == 0
    config = alone.connect("GET", "/config")
    alone.connect(
        "PUT", "/config", {**config, "skipped.operations": "t", "database.password": config["database.password"]}
    )
    code, log = consumer_ends()
    assert code == 2
    assert "skipped.operations is t, wanted none" in log
    checked = alone.manage("setup_cdc", "--check")
    assert checked.returncode == 1
    assert "skipped.operations is t, wanted none" in checked.stderr
    assert alone.manage("setup_cdc").returncode == 0
    assert alone.manage("setup_cdc", "--check").returncode == 0
    # What could not be asked is no difference.
    assert alone.manage("setup_cdc", "--check", KAFKA_CONNECT_URL="http://127.0.0.1:1").returncode == 3


def test_a_row_of_megabytes_stops_nothing(alone: Alone) -> None:
    """Written past Nova, which takes no such text. Its change holds it twice."""
    author = alone.member()
    large = alone.post(author)
    alone.sql("UPDATE posts SET text = repeat('long ', 500000) WHERE id = %s", large)
    alone.sql("UPDATE posts SET text = text || '.' WHERE id = %s", large)
    later = alone.post(author)
    wait_until(lambda: alone.has(later), "a later post")
    wait_until(lambda: len(alone.text(large)) == 2_500_001, "the long text")


def test_without_full_old_rows_nothing_starts(alone: Alone, consumer_ends) -> None:
    alone.sql("ALTER TABLE follows REPLICA IDENTITY DEFAULT")
    try:
        code, log = consumer_ends()
        assert code == 2
        assert "follows: not published with REPLICA IDENTITY FULL" in log
        done = alone.manage("setup_cdc")
        assert done.returncode != 0
        assert "follows" in done.stderr
    finally:
        alone.sql("ALTER TABLE follows REPLICA IDENTITY FULL")


def test_a_lost_slot_is_said_and_a_new_snapshot_heals_it(alone: Alone) -> None:
    """Case 46. What was deleted meanwhile stays as a ghost, until the comparison deletes it."""
    author = alone.member()
    ghost = alone.post(author)
    wait_until(lambda: alone.has(ghost), "the post")
    alone.stack.engine("connect").kill()
    wait_until(lambda: alone.sql("SELECT active FROM pg_replication_slots") == [(False,)], "the slot to be free")
    alone.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    watched = alone.manage("run_job", "watch")
    assert "the replication slot nova_cdc does not exist" in watched.stdout + watched.stderr
    unseen = alone.post(author)
    alone.sql("DELETE FROM posts WHERE id = %s", ghost)
    alone.stack.engine("connect").start()
    done = alone.manage("setup_cdc", "--timeout", "60")
    assert done.returncode != 0, done.stdout
    assert "the connector failed" in done.stderr
    assert "setup_cdc --resnapshot, and then manage.py verify_sync --repair" in done.stderr
    assert not alone.has(unseen)
    done = alone.manage("setup_cdc", "--resnapshot")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: alone.has(unseen), "the post that was made without a slot")
    later = alone.post(author)
    wait_until(lambda: alone.has(later), "a later post")
    assert alone.has(ghost), "control: no snapshot tells of a deletion"
    code, found = alone.verify("--repair")
    assert (code, found["posts_cdc"]) == (2, (0, 1, 0))
    assert not alone.has(ghost)


@pytest.mark.parametrize("deleted", ["connector", "connector and position"])
def test_a_new_snapshot_needs_no_connector(alone: Alone, deleted: str) -> None:
    """Somebody deleted it, and Connect keeps its position for one of that name; or Connect's own topics are new."""
    author = alone.member()
    if deleted == "connector and position":
        alone.connect("PUT", "/stop")
        wait_until(lambda: alone.connect("GET", "/status")["connector"]["state"] == "STOPPED", "the connector to stop")
        alone.connect("DELETE", "/offsets")
    alone.connect("DELETE", "")
    unseen = alone.post(author)
    done = alone.manage("setup_cdc", "--resnapshot")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: alone.has(unseen), "the post that was made without a connector")
    later = alone.post(author)
    wait_until(lambda: alone.has(later), "a later post")


def test_a_snapshot_in_the_middle_of_changes(alone: Alone) -> None:
    """Case 54: what a snapshot reads never wins over a change that came after it."""
    author, number = alone.member(), iter(range(10**6))
    posts, still = [alone.post(author) for _ in range(50)], [alone.post(author) for _ in range(20)]
    ids = ", ".join(f"'{post}'" for post in still)

    def act() -> None:
        one = next(number)
        alone.sql("UPDATE posts SET text = %s WHERE id = %s", f"change {one}", posts[one % len(posts)])
        if one % 7 == 0:
            alone.sql("DELETE FROM posts WHERE id = %s", posts.pop(one % len(posts)))
            posts.append(alone.post(author))

    with meanwhile(act):
        done = alone.manage("setup_cdc", "--resnapshot")
        assert done.returncode == 0, done.stderr
        marker = alone.post(author)
        wait_until(lambda: alone.has(marker), "a post behind the snapshot")
    assert next(number) > 50
    # Such a version is one less than a position.
    read = f"SELECT count() FROM posts_cdc FINAL WHERE id IN ({ids}) AND bitAnd(version, 7) = 7"
    wait_until(lambda: alone.ask(read) == len(still), "the rows that the snapshot has read")
    last = alone.post(author)
    wait_until(lambda: alone.has(last), "the end of the changes")
    # Deletions between the old slot and the new one are in no message; nothing else may differ.
    code, found = alone.verify("posts", "--repair")
    assert code in (0, 2)
    assert all((missing, different) == (0, 0) for missing, _, different in found.values()), found
    [(rows,)] = alone.sql("SELECT count(*) FROM posts WHERE author_id = %s", author)
    assert alone.ask(f"SELECT count() FROM posts_cdc FINAL WHERE author_id = '{author}'") == rows
    same_soon(alone)


def test_a_quiet_database_holds_back_no_wal(alone: Alone) -> None:
    """Case 47: only other tables are written; the heartbeat moves the slot on. Without a reader it stands, and the
    watch says so."""
    alone.sql("CREATE TABLE IF NOT EXISTS elsewhere (filler text)")

    def write_elsewhere() -> str:
        alone.sql("INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
        [(end,)] = alone.sql("SELECT pg_current_wal_lsn()::text")
        return end

    def passed(end: str) -> bool:
        return alone.sql("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots", end) == [(True,)]

    connect = alone.stack.engine("connect")
    connect.kill()
    wait_until(lambda: alone.sql("SELECT active FROM pg_replication_slots") == [(False,)], "the slot without a reader")
    end = write_elsewhere()
    watched = alone.manage("run_job", "watch")
    assert "nothing reads the replication slot nova_cdc" in watched.stdout + watched.stderr
    assert not passed(end), "control: nobody moved it"
    connect.start()
    wait_until(lambda: passed(end), "the slot behind what was written elsewhere", 90)
    end = write_elsewhere()
    wait_until(lambda: passed(end), "the slot moved on by a heartbeat alone", 90)
