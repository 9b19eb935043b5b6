"""What would disturb every other test (TRUNCATE, ALTER TABLE, a lost slot), on a stack of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
import urllib3
from clickhouse_driver import Client
from confluent_kafka import Producer

from embedded.testing import start_stack
from tests.apps import ROOT, Apps, running_apps
from tests.client import wait_until

STEPS = (["migrate", "--noinput"], ["migrate_clickhouse"], ["migrate_topics"], ["setup_cdc"])
CONNECTOR = "nova-community"


class Alone:
    """A stack, hands in its PostgreSQL and Kafka, eyes in its ClickHouse."""

    def __init__(self, stack: Any, apps: Apps) -> None:
        self.stack, self.apps = stack, apps
        where = urlsplit(stack.env["CLICKHOUSE_URL"])
        self._clickhouse = Client(where.hostname, port=where.port, database=where.path.strip("/"))

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.env["DATABASE_URL"], autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def ask(self, query: str) -> Any:
        """The first value of a query in ClickHouse."""
        return self._clickhouse.execute(query)[0][0]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return manage(self.stack.env, *arguments)

    def connect(self, method: str, path: str, body: Any = None) -> Any:
        answer = urllib3.request(
            method,
            f"{self.stack.env['KAFKA_CONNECT_URL']}/connectors/{CONNECTOR}{path}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        return json.loads(answer.data) if answer.data else None

    def member(self) -> UUID:
        [(found,)] = self.sql(
            "INSERT INTO users (username, password, is_superuser, first_name, last_name, email, is_staff, is_active,"
            " date_joined) VALUES (%s, '!', false, '', '', '', false, true, now()) RETURNING id",
            uuid4().hex,
        )
        return found

    def post(self, author: UUID) -> UUID:
        [(found,)] = self.sql("INSERT INTO posts (author_id, text) VALUES (%s, 'x') RETURNING id", author)
        return found

    def like(self, user: UUID, post: UUID) -> None:
        self.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", user, post)

    def likes(self, post: UUID) -> int:
        return int(self.ask(f"SELECT sum(likes) FROM post_counters WHERE post_id = '{post}'"))

    def has(self, post: UUID) -> bool:
        copies = (self.ask(f"SELECT count() FROM {copy} FINAL WHERE id = '{post}'") for copy in COPIES)
        return list(copies) == [1, 1]


COPIES = ("posts_cdc", "posts_by_author")


def manage(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    # The engines of the other tests are not to be taken for ours.
    outside = (
        "DATABASE_URL",
        "REDIS_URL",
        "REDIS_CACHE_URL",
        "CLICKHOUSE_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_CONNECT_URL",
    )
    kept = {name: os.environ.pop(name) for name in outside if name in os.environ}
    var = Path(f"{os.environ.get('NOVA_TEST_VAR', 'var-test')}-alone")
    try:
        wipe(var)
        with start_stack(var) as stack:
            os.environ.update(kept)
            for step in STEPS:
                done = manage(stack.env, *step)
                assert done.returncode == 0, done.stdout + done.stderr
            with running_apps(stack.env, var / "apps", ("cdc", "events")) as apps:
                yield Alone(stack, apps)
    finally:
        os.environ.update(kept)


def wipe(var: Path) -> None:
    """Delete what an earlier run left: its tables are no longer as the migrations made them.

    Never at the end of a run, whose own process is the supervisor that `down` would end.
    """
    if not (ROOT / var / "stack.json").exists():
        return
    command = [sys.executable, "-m", "embedded", "down", "--wipe"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NOVA_VAR": str(var)}, check=True, capture_output=True)


@pytest.fixture
def consumer_ends(alone: Alone) -> Callable[[], tuple[int, str]]:
    """Start the consumer a second time, where it should refuse: its exit code and its log."""

    def run() -> tuple[int, str]:
        done = manage(alone.stack.env, "run_cdc_consumer", "--group", "refused")
        return done.returncode, done.stdout + done.stderr

    return run


def test_truncate_leaves_no_ghosts_and_takes_the_likes_back(alone: Alone) -> None:
    author, reader = alone.member(), alone.member()
    posts = [alone.post(author) for _ in range(20)]
    for post in posts:
        alone.like(reader, post)
    wait_until(lambda: all(alone.has(post) for post in posts), "the posts")
    wait_until(lambda: all(alone.likes(post) == 1 for post in posts), "the likes")
    alone.sql("TRUNCATE likes, comments, posts")
    after = alone.post(author)
    alone.like(reader, after)
    for copy in (*COPIES, "likes_cdc"):
        wait_until(lambda copy=copy: alone.ask(f"SELECT count() FROM {copy} FINAL") == 1, f"only the new row in {copy}")
    wait_until(lambda: all(alone.likes(post) == 0 for post in posts), "no like of the truncated ones")
    wait_until(lambda: alone.likes(after) == 1, "the like after it")
    assert alone.has(after)


def test_a_row_that_a_truncate_has_overtaken_is_deleted(alone: Alone) -> None:
    """It waited in another partition while the TRUNCATE was read."""
    user, post, row = uuid4(), uuid4(), uuid4()
    [(now,)] = alone.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    after = {
        "id": str(row),
        "user_id": str(user),
        "post_id": str(post),
        "post_author_id": str(uuid4()),
        "created_at": now,
    }
    producer = Producer({"bootstrap.servers": alone.stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    message = {"op": "c", "before": None, "after": after, "source": {"table": "likes", "lsn": 8}}
    producer.produce("nova.public.likes", json.dumps(message).encode())
    producer.flush(10)
    # The row itself may have been merged away by now; its deletion stays.
    wait_until(lambda: alone.ask(f"SELECT sum(is_deleted) FROM likes_cdc WHERE id = '{row}'") == 1, "its deletion")
    assert alone.ask(f"SELECT count() FROM likes_cdc FINAL WHERE id = '{row}'") == 0
    wait_until(lambda: alone.ask(f"SELECT count() FROM events WHERE post_id = '{post}'") == 2, "a like and an unlike")
    assert alone.likes(post) == 0


def test_a_killed_connector_repeats_and_nothing_returns(alone: Alone) -> None:
    author, reader = alone.member(), alone.member()
    posts = [alone.post(author) for _ in range(5)]
    alone.like(reader, posts[0])
    wait_until(lambda: alone.likes(posts[0]) == 1, "the like")
    alone.sql("DELETE FROM likes WHERE post_id = %s", posts[0])
    # Its position in the WAL is written down every few seconds only, so it goes back.
    alone.stack.engine("connect").kill()
    alone.sql("DELETE FROM posts WHERE id = %s", posts[1])
    last = alone.post(author)
    alone.stack.engine("connect").start()
    wait_until(lambda: alone.has(last), "the post made meanwhile")
    wait_until(lambda: not alone.has(posts[1]), "the deletion made meanwhile")
    wait_until(lambda: alone.likes(posts[0]) == 0, "the like taken back")


def test_postgresql_killed_heals_by_itself(alone: Alone) -> None:
    author = alone.member()
    alone.stack.engine("postgres").kill()
    alone.stack.engine("postgres").start()
    post = alone.post(author)
    wait_until(lambda: alone.has(post), "a post after the crash", 120)


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
    author = alone.member()
    alone.stack.engine("connect").kill()
    wait_until(lambda: alone.sql("SELECT active FROM pg_replication_slots") == [(False,)], "the slot to be free")
    alone.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    unseen = alone.post(author)
    alone.stack.engine("connect").start()
    done = alone.manage("setup_cdc", "--timeout", "60")
    assert done.returncode != 0, done.stdout
    assert "the connector failed" in done.stderr
    assert not alone.has(unseen)
    done = alone.manage("setup_cdc", "--resnapshot")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: alone.has(unseen), "the post that was made without a slot")
    later = alone.post(author)
    wait_until(lambda: alone.has(later), "a later post")


def test_the_schema_of_the_source_changes(alone: Alone) -> None:
    """A column more is nothing; one less ends the consumer, which names it. Last, for the consumer cannot go on."""
    author = alone.member()
    alone.sql("ALTER TABLE posts ADD COLUMN mood text DEFAULT 'fine'")
    post = alone.post(author)
    wait_until(lambda: alone.has(post), "the post with one column more")
    alone.sql("ALTER TABLE posts RENAME COLUMN text TO body")
    alone.sql("INSERT INTO posts (author_id, body) VALUES (%s, 'x')", author)
    consumer = alone.apps.process("cdc")
    wait_until(lambda: not consumer.alive, "the end of the consumer")
    assert "posts.text is missing from a change" in consumer.last_words()
