"""When claims and tokens cannot be believed: nothing is doubled, and nothing new is taken for a repeat."""

import time
from uuid import uuid4

import numpy as np
import pytest

from ingestion import dedup, ledger, writer
from ingestion.events import EventsSink
from ingestion.ledger import Partition, Pending
from ingestion.models import Offset
from nova import clock, redis
from tests.integration import oracle
from tests.integration.batches import lines, messages, read
from tests.integration.ingest import Crowd, Tail


def claim_of(topic_id: str) -> tuple[Partition, Pending | None]:
    return ledger.claim("events", "events", topic_id, 0, low=0, high=10**9)


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_the_same_offsets_of_a_topic_made_again_are_another_batch(crowd: Crowd) -> None:
    """Case 8: offsets 0 to 49 come twice, once of each topic of that name: both are stored."""
    old, new = uuid4().hex, uuid4().hex
    for topic_id in (old, new):
        events = crowd.events(50)
        crowd.sent |= {event.event_id for event in events}
        part, _ = claim_of(topic_id)
        EventsSink().flush(part, messages(lines(events)))
        assert part.next_offset == 50
    crowd.assert_exact()
    # Control: a token without the topic's id would have swallowed the second one.
    part, _ = claim_of(new)
    first, second = (crowd.events(50, event_time=clock.now()) for _ in range(2))
    for events in (first, second):
        writer.insert(read(messages(lines(events))).arrow_stream(part.topic_id, 0), f"the same for {old} and {new}")
    assert oracle.lost({event.event_id for event in [*first, *second]}) == {event.event_id for event in second}


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_the_batch_of_a_deleted_topic_is_given_up() -> None:
    """Case 8: a half inserted batch whose topic is no more does not stay pending for ever."""
    old, _ = claim_of(uuid4().hex)
    ledger.before(old, hi=9, kept=np.arange(10), token="t")
    claim_of(uuid4().hex)
    row = Offset.objects.get(pk=old.row)
    assert (row.pending_lo, row.next_offset) == (None, 0)
    with pytest.raises(ledger.Fenced):
        ledger.after(old, hi=9)


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_a_resend_after_the_claims_have_ended(crowd: Crowd, settings) -> None:
    """Case 21: claims live for 2 s, the resend comes after that: ClickHouse is asked, and knows it."""
    settings.DEDUP_TTL_SECONDS = 2
    events = crowd.events(100)
    crowd.sent |= {event.event_id for event in events}
    part, _ = claim_of(uuid4().hex)
    sink = EventsSink()
    sink.flush(part, messages(lines(events)))
    time.sleep(2.5)
    part.memo = None
    sink.flush(part, messages(lines(events), first=100))
    assert part.next_offset == 200
    crowd.assert_exact()


@pytest.mark.django_db
@pytest.mark.usefixtures("prepared")
def test_claims_that_ended_and_are_believed_double(crowd: Crowd, settings, monkeypatch) -> None:
    """Negative control of case 21: without the look-up the resend counts twice."""
    settings.DEDUP_TTL_SECONDS = 2
    monkeypatch.setattr(dedup, "_stored", lambda *given, **named: [])
    events = crowd.events(100)
    part, _ = claim_of(uuid4().hex)
    sink = EventsSink()
    sink.flush(part, messages(lines(events)))
    time.sleep(2.5)
    sink.flush(part, messages(lines(events), first=100))
    assert len(oracle.doubled({event.event_id for event in events})) == 100


def test_redis_killed_and_back(crowd: Crowd, tail: Tail, prepared) -> None:
    """Case 19: clients resend while Redis is down, and after it came back: what is stored is looked up."""
    events = crowd.events(1000)
    crowd.send(events[:600])
    tail.wait()
    prepared.engine("redis").kill()
    try:
        crowd.send(events[:800])
        tail.wait()
        crowd.assert_exact()
    finally:
        prepared.engine("redis").start()
        redis.durable.cache_clear()
    crowd.send(events)
    tail.wait()
    crowd.assert_exact()
