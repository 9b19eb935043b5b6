"""How far behind the consumers are, beside what Kafka holds."""

from uuid import uuid4

import pytest
from confluent_kafka.admin import NewTopic

from ingestion import lag
from ingestion.models import Offset
from nova import kafka

pytestmark = pytest.mark.usefixtures("prepared")


def row(topic: str, topic_id: str, partition: int, *, next_offset: int) -> Offset:
    return Offset(
        consumer="events",
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        next_offset=next_offset,
        high_watermark=9,
    )


def test_only_what_can_still_be_read_is_behind() -> None:
    topic, gone = f"lag-{uuid4()}", f"gone-{uuid4()}"
    kafka.admin().create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    try:
        kafka.send(topic, [(None, b"a message", None)] * 7, timeout=20)
        now = kafka.topic_ids(topic)[topic]
        rows = {
            "read up to 2": row(topic, now, 0, next_offset=2),
            "no such partition": row(topic, now, 5, next_offset=4),
            "the topic before it was made again": row(topic, str(uuid4()), 0, next_offset=2),
            "a topic that is no more": row(gone, str(uuid4()), 0, next_offset=2),
        }
        live = lag.ends(rows.values())
        assert {name: lag.lag(one, live) for name, one in rows.items()} == {
            "read up to 2": 5,
            "no such partition": 5,
            "the topic before it was made again": 0,
            "a topic that is no more": 0,
        }
    finally:
        kafka.admin().delete_topics([topic])[topic].result(20)
