"""Case 49: the columns of a source table change."""

import datetime
import decimal
import json
from typing import Any, get_args
from uuid import UUID, uuid4

from confluent_kafka import Consumer

from ingestion.decoders.base import Date, Decimal
from ingestion.errors import EXIT_SETTINGS
from tests.client import wait_until
from tests.integration.alone.stack import Alone, same_soon


def test_a_column_more_is_nothing(alone: Alone) -> None:
    """Of whatever type: nothing is made of it."""
    alone.sql(
        "ALTER TABLE posts ADD COLUMN mood text DEFAULT 'fine', ADD COLUMN price numeric(20, 5) DEFAULT 1.5,"
        " ADD COLUMN day date DEFAULT '2026-11-23', ADD COLUMN raw bytea DEFAULT 'abc'"
    )
    try:
        post = alone.post(alone.member())
        wait_until(lambda: alone.has(post), "the post with columns more")
        # A deployment's own tables may have such columns: this is how they are spelled.
        after = change_of(alone, post)
        assert read(Decimal, after["price"]) == decimal.Decimal("1.5")
        assert read(Date, after["day"]) == datetime.date(2026, 11, 23)
    finally:
        alone.sql("ALTER TABLE posts DROP COLUMN mood, DROP COLUMN price, DROP COLUMN day, DROP COLUMN raw")
    later = alone.post(alone.member())
    wait_until(lambda: alone.has(later), "the post without them")


def change_of(alone: Alone, post: UUID) -> dict[str, Any]:
    """The row of a post as the change in Kafka has it."""
    client = Consumer(
        {
            "bootstrap.servers": alone.stack.env["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"tests-{uuid4()}",
            "auto.offset.reset": "earliest",
        }
    )
    client.subscribe(["nova.public.posts"])
    found: list[dict[str, Any]] = []

    def look() -> list[dict[str, Any]]:
        for message in client.consume(1000, 0.5):
            after = json.loads(message.value() or b"{}").get("after") or {}
            found.extend([after] if after.get("id") == str(post) else [])
        return found

    try:
        return wait_until(look, "the change in Kafka")[0]
    finally:
        client.close()


def read(alias: Any, value: Any) -> Any:
    return get_args(alias)[1].read(value)


def test_a_column_less_ends_the_consumer_which_names_it(alone: Alone) -> None:
    """And the way back: the column is there again, what cannot be read is passed over, the rows are compared."""
    author, consumer = alone.member(), alone.apps.process("cdc")
    alone.sql("ALTER TABLE posts RENAME COLUMN text TO body")
    alone.sql("INSERT INTO posts (author_id, body) VALUES (%s, 'x')", author)
    wait_until(lambda: not consumer.alive, "the end of the consumer")
    assert consumer.exit_code == EXIT_SETTINGS
    assert "posts.text is missing from a change" in consumer.last_words()
    alone.sql("ALTER TABLE posts RENAME COLUMN body TO text")
    consumer.start()
    wait_until(lambda: not consumer.alive, "the end of the consumer at the same message")
    epochs = "SELECT sum(epoch), count(*) FROM consumer_offsets WHERE consumer = 'cdc' AND topic = 'nova.public.posts'"
    [(before, partitions)] = alone.sql(epochs)
    with alone.consumer("run_cdc_consumer", "--from-offset", "nova.public.posts:*:latest", "--yes"):
        wait_until(lambda: alone.sql(epochs)[0][0] >= before + 2 * partitions, "the partitions moved and assigned")
        later = alone.post(author)
        wait_until(lambda: alone.has(later), "a post after it")
    code, found = alone.verify("posts", "--repair")
    assert (code, found["posts_cdc"]) == (2, (1, 0, 0))
    alone.apps.restart("cdc")
    same_soon(alone)
