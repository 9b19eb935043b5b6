"""Kafka Connect killed with kill -9 while changes and copies stream through it.

It writes down its place every few seconds only, so it repeats: older states of rows come again, behind newer ones.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from confluent_kafka import TopicPartition

from nova import clickhouse, kafka, topics
from tests.client import wait_until
from tests.integration.test_cdc_copies import Community, same
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")


def numbers_in_kafka(post: UUID) -> list[int]:
    """The texts of all changes of a post in Kafka, in its order."""
    client, topic = kafka.consumer("tests-look-only"), topics.of_table("posts")
    found = []
    try:
        for number in client.list_topics(topic, timeout=10).topics[topic].partitions:
            low, high = client.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            client.assign([TopicPartition(topic, number, low)])
            at = low
            while at < high:
                for message in client.consume(1000, 1.0):
                    at = message.offset() + 1
                    change = json.loads(message.value() or b"{}")
                    if (change.get("after") or {}).get("id") == str(post):
                        found.append(int(change["after"]["text"]))
    finally:
        client.close()
    return found


@contextmanager
def background(act) -> Iterator[list]:
    """Do `act` again and again; what it returned, in order."""
    over, results = threading.Event(), []

    def run() -> None:
        while not over.is_set():
            results.append(act())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        over.set()
        thread.join()


def test_old_states_come_again_and_never_win(world: World, prepared) -> None:
    """Case 42: a post counts up; in Kafka its text goes back at a kill (control), in the copy never."""
    community, connect = Community(world, seed=42), prepared.engine("connect")
    post = world.post(world.member(), "0")
    url = prepared.env["DATABASE_URL"]

    def count_up() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE posts SET text = (text::int + 1)::text WHERE id = %s", (post,))
        time.sleep(0.02)

    def seen() -> int:
        rows = clickhouse.query("SELECT text FROM posts_cdc FINAL WHERE id = {id:UUID}", {"id": str(post)})
        return int(rows[0][0]) if rows else -1

    def watch() -> int:
        time.sleep(0.02)
        return seen()

    def act() -> None:
        community.act()
        time.sleep(0.1)

    with background(watch) as states, background(count_up), background(act):
        for _ in range(2):
            before = seen()
            wait_until(lambda before=before: seen() > before + 50, "changes in the copy", 120)
            connect.kill()
            connect.start()
        before = seen()
        wait_until(lambda: seen() > before + 50, "changes behind the last kill", 120)
    community.check(120)
    end = int(world.sql_one("SELECT text FROM posts WHERE id = %s", post))
    wait_until(lambda: seen() == end, "the last text")
    assert any(later <= earlier for earlier, later in pairwise(numbers_in_kafka(post))), "nothing was repeated"
    assert all(later >= earlier for earlier, later in pairwise(states))


def test_a_copy_whose_rows_share_a_position(world: World, prepared) -> None:
    """Case 44: COPY writes many rows under one LSN, and the connector dies among them: all of them arrive."""
    author, connect, rows = world.member(), prepared.engine("connect"), 30_000
    copied = f"posts_cdc FINAL WHERE author_id = '{author}'"
    # With a column left to its default, each row would be written by itself.
    now = datetime.now(UTC)
    lines = "".join(f"{uuid4()}\t{author}\tnumber {number}\t[]\t{now}\t{now}\n" for number in range(rows))
    statement = "COPY posts (id, author_id, text, media, created_at, updated_at) FROM STDIN"
    with psycopg.connect(prepared.env["DATABASE_URL"]) as connection, connection.cursor().copy(statement) as copy:
        copy.write(lines)
    wait_until(lambda: world.count(copied), "the first of them")
    arrived = world.count(copied)
    connect.kill()
    connect.start()
    wait_until(lambda: world.count(copied) == rows, "all of them", 120)
    assert same(world, [author])
    assert arrived < rows, "killed too late to be a test"
    positions = f"SELECT uniqExact(version) FROM posts_cdc WHERE author_id = '{author}'"
    assert clickhouse.query(positions)[0][0] < rows, "control: no two shared a position"
    # Others compare all posts row by row.
    world.sql("DELETE FROM posts WHERE author_id = %s", author)
    wait_until(lambda: not world.count(copied), "none of them")
