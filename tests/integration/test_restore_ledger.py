"""`bump_restore_epoch` and the ledger: groups of another name, and the epochs of its rows."""

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


@pytest.mark.parametrize("named", [False, True])
def test_an_events_consumer_is_stopped_too(running: dict[str, int], named: bool) -> None:
    """Its claims would end under its feet, and a minute later the process."""
    group, topic_id = "events", kafka.topic_ids(topics.EVENTS)[topics.EVENTS]
    if named:
        group = f"tests-{uuid4()}"
        ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=0)
    running[group] = 1
    said = f"run_events_consumer --group {group}" if named else "run_events_consumer"
    with pytest.raises(Permanent, match=f"^{said} runs .1 processes"):
        restore.bump("a test")


def test_no_epoch_of_the_lost_time_comes_again(running: dict[str, int]) -> None:
    """The epoch is part of the token of a batch, which ClickHouse remembers longer than a restored ledger."""
    group, topic_id = f"tests-{uuid4()}", kafka.topic_ids(topics.EVENTS)[topics.EVENTS]
    kept, _ = ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=0)
    lost = {ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=0)[0].epoch for _ in range(3)}
    # The backup is of the time of the first claim.
    Offset.objects.filter(pk=kept.row).update(epoch=kept.epoch)
    restore.bump("a test")
    again = {ledger.claim(group, topics.EVENTS, topic_id, 0, low=0, high=0)[0].epoch for _ in range(3)}
    assert not lost & again
