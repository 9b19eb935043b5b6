"""A consumer that dies anywhere around its insert: the next one does exactly what was decided, once."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from confluent_kafka import Message

from ingestion import writer
from ingestion.errors import Fenced, Halt
from ingestion.ledger import Pending
from ingestion.models import DeadLetter
from nova import clickhouse, clock
from nova.errors import Ambiguous
from tests.integration import oracle
from tests.integration.batches import Died, lines, messages
from tests.integration.ingest import Crowd

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


@pytest.fixture
def dies(monkeypatch):
    """dies(before=…) → the next insert kills the process, before or after ClickHouse has it."""
    insert = writer.insert

    def arrange(*, before: bool, error: BaseException | None = None) -> None:
        def dying(body: bytes, token: str) -> None:
            monkeypatch.setattr(writer, "insert", insert)
            if not before:
                insert(body, token)
            raise error or Died

        monkeypatch.setattr(writer, "insert", dying)

    return arrange


@pytest.mark.parametrize("before", [True, False])
def test_a_death_around_the_insert(sink, claim, dies, before: bool) -> None:
    crowd = Crowd()
    events = crowd.events(300)
    # A repeat within the batch and a broken message: their fate was decided too.
    batch = messages([*lines(events), events[0].line(), b"broken"])
    part, _ = claim()
    dies(before=before)
    with pytest.raises(Died):
        sink.flush(part, batch)

    successor, pending = claim()
    assert pending is not None
    assert (pending.lo, pending.hi, len(pending.kept)) == (0, 301, 300)
    sink.redo(successor, pending, batch)
    assert successor.next_offset == 302
    assert claim()[1] is None
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)
    assert DeadLetter.objects.filter(topic_id=part.topic_id).count() == 1


def test_the_successor_needs_the_same_token(sink, claim, dies) -> None:
    """Negative control for the test above."""
    crowd = Crowd()
    events = crowd.events(30)
    batch = messages(lines(events))
    part, _ = claim()
    dies(before=False)
    with pytest.raises(Died):
        sink.flush(part, batch)
    successor, pending = claim()
    assert pending is not None
    sink.redo(successor, replace(pending, token=f"another {uuid4()}"), batch)
    assert len(oracle.doubled({event.event_id for event in events})) == 30
    assert oracle.miscounted(crowd.posts) == {}


@pytest.mark.parametrize("before", [True, False])
def test_an_insert_whose_answer_is_lost_is_sent_again_unchanged(sink, claim, dies, before: bool) -> None:
    crowd = Crowd()
    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    dies(before=before, error=Ambiguous("no answer"))
    with pytest.raises(Ambiguous):
        sink.flush(part, batch)
    decided = part.memo
    assert decided is not None
    sink.flush(part, batch)
    assert (part.next_offset, part.memo) == (100, None)
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)


def test_a_zombie_inserts_nothing(sink, claim, dies) -> None:
    crowd = Crowd()
    events = crowd.events(20)
    batch = messages(lines(events))
    zombie, _ = claim()
    dies(before=True, error=Ambiguous("asleep"))
    with pytest.raises(Ambiguous):
        sink.flush(zombie, batch)
    claim()
    with pytest.raises(Fenced):
        sink.flush(zombie, batch)
    assert oracle.lost({event.event_id for event in events}) == {event.event_id for event in events}


def test_what_kafka_no_longer_holds_of_a_pending_batch_halts(sink, claim) -> None:
    part, _ = claim()
    batch = messages(lines(Crowd().events(3)))
    with pytest.raises(Halt):
        sink.redo(part, Pending(0, 2, np.arange(3), "t", clock.now()), batch[:2])


def test_a_batch_of_many_days_is_split(sink, claim) -> None:
    # What is older than events are kept: posts and an author of its own, which the oracle cannot judge.
    crowd, old = Crowd(), Crowd()
    events = []
    batch = []
    # Kafka's own timestamps carry the messages back over 150 days, as a topic restored from a backup could.
    for day in range(150):
        moment = clock.now() - timedelta(days=day)
        whose = crowd if day < 25 else old
        events.append(whose.event(event_time=moment, source="client", action="share"))
        batch.append(
            Message(
                topic="events",
                partition=0,
                offset=day,
                key=b"k",
                value=events[-1].line(),
                timestamp=(1, int(moment.timestamp() * 1000)),
                headers=[],
            )
        )
    part, _ = claim()
    sink.flush(part, batch)
    assert part.next_offset == 150
    oracle.assert_exact({event.event_id for event in events[:25]}, crowd.posts)
    [(shares,)] = clickhouse.query(
        "SELECT sum(shares) FROM post_counters WHERE post_id IN {posts:Array(UUID)}", {"posts": old.posts}
    )
    assert shares == 125
