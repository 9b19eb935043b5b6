"""`bump_restore_epoch` where the changes are read by a group of another name, or have been."""

from uuid import uuid4

import pytest

from ingestion import connector, ledger, restore
from ingestion.models import Offset
from nova import clickhouse, kafka, topics
from nova.errors import Permanent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


@pytest.fixture
def running(monkeypatch) -> dict[str, int]:
    """How many processes each group has; there is no connector, and ClickHouse notes nothing."""
    found: dict[str, int] = {}
    monkeypatch.setattr(kafka, "members", lambda group: found.get(group, 0))
    monkeypatch.setattr(connector, "slot_state", lambda: None)
    monkeypatch.setattr(clickhouse, "command", lambda *_, **__: None)
    return found


def test_a_group_of_another_name_is_stopped_and_skips_too(running: dict[str, int]) -> None:
    """It would go on with the old epoch, or read what is left of the lost time under the new one."""
    group, topic = f"tests-{uuid4()}", topics.of_table("blocks")
    topic_id = kafka.topic_ids(topic)[topic]
    ledger.claim(group, topic, topic_id, 0, low=0, high=0)
    running[group] = 2
    with pytest.raises(Permanent, match=f"run_cdc_consumer --group {group} runs .2 processes"):
        restore.bump("a test")
    running.clear()
    producer = kafka.producer()
    producer.produce(topic, b"no change", partition=0)
    assert producer.flush(20) == 0
    restore.bump("a test")
    both = Offset.objects.filter(topic_id=topic_id, partition=0).values_list("consumer", "next_offset")
    offsets = dict(both)
    assert offsets[group] == offsets["cdc"] > 0
