"""A producer that failed for good is replaced. A refused message is such a failure where gaps are forbidden."""

import os
from uuid import uuid4

import pytest

from ingestion import replay
from ingestion.models import DeadLetter
from nova import kafka, topics
from nova.errors import Permanent, Transient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("prepared")]
# More than the broker takes of one message: it refuses this one, and what would come behind it is the gap.
TOO_LARGE = 1_100_000


@pytest.fixture
def fragile() -> kafka.SharedProducer:
    return kafka.SharedProducer(**{"enable.gapless.guarantee": True, "message.max.bytes": 2_000_000})


def letter(raw: bytes) -> int:
    return DeadLetter.objects.create(
        consumer="tests", topic=topics.DLQ_CDC, topic_id=uuid4().hex, partition=0, offset=1, raw=raw, reason="schema"
    ).pk


def test_replays_go_on_after_a_fatal_error(fragile, monkeypatch) -> None:
    monkeypatch.setattr(replay, "_producer", fragile)
    refused = letter(os.urandom(TOO_LARGE))
    assert replay.replay([refused], by=None).failed == 1
    # The first one learns of it, the second has a producer anew.
    outcomes = [replay.replay([letter(b"small")], by=None) for _ in range(2)]
    assert outcomes[-1].sent == 1, [str(outcome) for outcome in outcomes]


def test_sending_goes_on_after_a_fatal_error(fragile, monkeypatch) -> None:
    monkeypatch.setattr(kafka, "_shared", fragile)
    with pytest.raises((Permanent, Transient)):
        kafka.send(topics.DLQ_CDC, [(None, os.urandom(TOO_LARGE), None)], timeout=10)
    for last in (False, True):
        try:
            kafka.send(topics.DLQ_CDC, [(None, b"small", None)], timeout=10)
        except Transient:
            assert not last
