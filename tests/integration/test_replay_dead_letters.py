"""Dead letters of the running consumers, replayed with the command: counted once, however often they are sent."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from nova import clickhouse, kafka, topics
from tests.apps import ROOT
from tests.client import wait_until
from tests.world import World

pytestmark = pytest.mark.usefixtures("apps")


def produce(topic: str, value: bytes | None, *, key: bytes | None = None, sent: datetime | None = None) -> None:
    """A hand-made record; `sent`: the time that Kafka shall note for it."""
    producer = kafka.producer()
    stamp = int((sent or datetime.now(UTC)).timestamp() * 1000)
    producer.produce(topic, value, key, timestamp=stamp, headers=[("trace", b"abc"), ("blob", b"\xff")])
    assert producer.flush(10) == 0


def early_event() -> dict[str, Any]:
    """An event that was not yet allowed when its message was written, and is now."""
    return {
        "event_id": str(uuid4()),
        "event_time": datetime.now(UTC).isoformat(),
        "user_id": str(uuid4()),
        "post_id": str(uuid4()),
        "action": "view",
        "source": "client",
    }


def letters(world: World, needle: str) -> list[tuple[Any, ...]]:
    return world.sql_rows(
        "SELECT id, reason, state, headers, replay_count FROM dead_letters"
        " WHERE position(convert_to(%s, 'UTF8') IN raw) > 0 ORDER BY id",
        needle,
    )


def replay(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "replay_dead_letters", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_mended_message_counts_once_and_the_second_replay_says_so(world: World) -> None:
    event = early_event()
    produce(topics.EVENTS, json.dumps(event).encode(), sent=datetime.now(UTC) - timedelta(hours=1))
    [(number, reason, state, *_)] = wait_until(lambda: letters(world, event["event_id"]), "the dead letter")
    assert (reason, state) == ("in_future", "waiting")
    assert world.stored_events([event["event_id"]]) == []

    assert "1  would be replayed" in replay(str(number), "--dry-run")
    assert letters(world, event["event_id"])[0][2] == "waiting"
    assert "1 replayed" in replay(str(number))
    wait_until(lambda: world.stored_events([event["event_id"]]), "the event")
    said = replay(str(number), "999999999999")
    assert "0 replayed" in said
    assert f"left alone, as they do not wait or do not match: {number}, 999999999999" in said
    assert letters(world, event["event_id"])[0][2:5:2] == ("replayed", 1)

    # Sent once more by hand, behind the state's back: the id is known.
    world.sql("UPDATE dead_letters SET state = 'waiting' WHERE id = %s", number)
    assert "1 replayed" in replay(str(number))
    marker = early_event()
    produce(topics.EVENTS, json.dumps(marker).encode(), key=UUID(event["user_id"]).bytes)
    wait_until(lambda: world.stored_events([marker["event_id"]]), "a later event")
    time.sleep(1)
    assert len(world.stored_events([event["event_id"]])) == 1
    outcomes = world.sql_rows(
        "SELECT outcome, target_topic, target_offset IS NOT NULL FROM dead_letter_replays WHERE letter_id = %s", number
    )
    assert outcomes == [("sent", "events", True)] * 2


def test_what_fails_again_is_a_new_letter_that_names_the_first(world: World) -> None:
    word = f"no event {uuid4()}"
    produce(topics.EVENTS, word.encode())
    [(number, reason, *_)] = wait_until(lambda: letters(world, word), "the dead letter")
    assert reason == "not_json"
    replay(str(number))
    _, (_, again, state, headers, _) = wait_until(
        lambda: (found := letters(world, word))[1:] and found, "the second one"
    )
    assert (again, state) == ("not_json", "waiting")
    assert ["nova.replay-of", str(number)] in headers
    assert ["trace", "abc"] in headers
    assert ["blob", {"base64": "/w=="}] in headers


def test_letters_are_chosen_by_what_they_are_and_sent_no_faster_than_asked(world: World) -> None:
    """--topic, --reason, --since and --until narrow it down together; --rate is the most per second."""
    topic_id = uuid4().hex
    rows = [
        (topics.DLQ_EVENTS, "schema", "2001-01-01T00:00:00Z"),
        *[(topics.DLQ_EVENTS, "schema", "2001-01-02T00:00:00Z")] * 5,
        (topics.DLQ_EVENTS, "not_json", "2001-01-02T00:00:00Z"),
        (topics.DLQ_CDC, "schema", "2001-01-02T00:00:00Z"),
        (topics.DLQ_EVENTS, "schema", "2001-01-03T00:00:00Z"),
    ]
    # Their own topics are ones that nobody reads.
    for place, (topic, reason, at) in enumerate(rows):
        world.sql(
            """INSERT INTO dead_letters (consumer, topic, topic_id, partition, "offset", raw, headers, reason, field,
                   detail, created_at, published_at, state, replay_count)
               VALUES ('tests', %s, %s, 0, %s, 'x', '[]', %s, '', '', %s, now(), 'waiting', 0)""",
            topic,
            topic_id,
            place,
            reason,
            at,
        )
    chosen = ["--topic", topics.DLQ_EVENTS, "--reason", "schema", "--since", "2001-01-02", "--until", "2001-01-03"]
    assert "5  would be replayed" in replay(*chosen, "--dry-run")
    began = time.monotonic()
    assert "5 replayed" in replay(*chosen, "--rate", "2")
    # Two, two and one: a second between them each.
    assert time.monotonic() - began >= 2
    states = world.sql_rows('SELECT state FROM dead_letters WHERE topic_id = %s ORDER BY "offset"', topic_id)
    assert [state for (state,) in states] == ["waiting", *["replayed"] * 5, *["waiting"] * 3]
    world.sql(
        "DELETE FROM dead_letter_replays WHERE letter_id IN (SELECT id FROM dead_letters WHERE topic_id = %s)", topic_id
    )
    world.sql("DELETE FROM dead_letters WHERE topic_id = %s", topic_id)


def change(post: UUID, author: UUID, text: str, lsn: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    after = {
        "id": str(post),
        "author_id": str(author),
        "text": text,
        "media": "[]",
        "created_at": now,
        "updated_at": now,
    }
    envelope = {"op": "u", "before": None, "after": after, "source": {"table": "posts", "lsn": lsn}}
    return json.dumps(envelope).encode()


def test_poison_in_a_change_topic_blocks_nothing(world: World) -> None:
    author, word = world.member(), f"poison {uuid4()}"
    for value in (word.encode(), f'{{"op": "x", "{word}": 1}}'.encode(), f'{{"ts_ms": "{word}"}}'.encode()):
        for _ in range(4):
            produce(topics.of_table("posts"), value)
    post = world.post(author)
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{post}'"), "the good post behind it")
    wait_until(lambda: len(letters(world, word)) == 12, "every poisoned message as a dead letter")


def test_a_stale_change_does_not_bring_back_the_past(world: World) -> None:
    """A dead letter from long ago, replayed after the row was changed: the newer version stays."""
    author = world.member()
    post = world.post(author, "new text")
    wait_until(lambda: world.count(f"posts_cdc FINAL WHERE id = '{post}'"), "the post")
    number = world.sql_one(
        """INSERT INTO dead_letters (consumer, topic, topic_id, partition, "offset", key, raw, headers, reason, field,
               detail, created_at, state, replay_count)
           VALUES ('cdc', 'nova.public.posts', %s, 0, 1, %s, %s, '[]', 'bad_column', '', '', now(), 'waiting', 0)
           RETURNING id""",
        uuid4().hex,
        json.dumps({"id": str(post)}).encode(),
        change(post, author, "old text", lsn=8),
    )
    with world.unmerged("posts_cdc"):
        replay(str(number))
        wait_until(lambda: world.count(f"posts_cdc WHERE id = '{post}' AND text = 'old text'"), "the stale row stored")
    texts = clickhouse.query("SELECT text FROM posts_cdc FINAL WHERE id = {id:UUID}", {"id": str(post)})
    assert texts == [("new text",)]
