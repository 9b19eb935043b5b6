"""Only the owner of a partition writes, only forward, and a loss in Kafka is said loudly."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from confluent_kafka import Message

from ingestion import dead_letters, ledger, replay
from ingestion.cdc import CdcSink
from ingestion.errors import EXIT_DATA_LOSS, Fenced, Halt
from ingestion.events import EventsSink
from ingestion.ledger import Partition, Pending
from ingestion.models import DeadLetter, Offset

pytestmark = pytest.mark.django_db
Claim = Callable[..., tuple[Partition, Pending | None]]


@pytest.fixture
def claim() -> Claim:
    topic_id = uuid4().hex

    def take(low: int = 0, high: int = 1000) -> tuple[Partition, Pending | None]:
        return ledger.claim("events", "events", topic_id, 0, low=low, high=high)

    return take


def letter(part: Partition, offset: int) -> DeadLetter:
    return DeadLetter(
        consumer="events", topic="events", topic_id=part.topic_id, partition=0, offset=offset, raw=b"x", reason="schema"
    )


def test_a_partition_without_a_row_starts_at_the_low_watermark(claim: Claim) -> None:
    part, pending = claim(low=40)
    assert (part.next_offset, part.epoch, pending) == (40, 1, None)


def test_batches_of_a_topic_that_is_no_more_are_given_up_in_all_its_partitions(claim: Claim) -> None:
    """It had more partitions than the one that has its name now."""
    gone, name = [], uuid4().hex
    for number in (0, 7):
        part, _ = ledger.claim("events", "events", name, number, low=0, high=10)
        ledger.before(part, hi=4, kept=np.array([0]), token="t")
        gone.append(part)
    claim()
    assert not Offset.objects.filter(topic_id=name).exclude(pending_lo=None).exists()
    for part in gone:
        with pytest.raises(Fenced):
            ledger.after(part, hi=4)


def test_a_batch_is_pending_until_it_is_done(claim: Claim) -> None:
    part, _ = claim()
    kept = np.array([0, 1, 5, 9])
    ledger.before(part, hi=9, kept=kept, token="t", letters=[letter(part, 3)])
    again, pending = claim()
    assert again.next_offset == 0
    assert pending is not None
    assert (pending.lo, pending.hi, pending.token, pending.kept.tolist()) == (0, 9, "t", kept.tolist())
    ledger.after(again, hi=9)
    part, pending = claim()
    assert (part.next_offset, pending) == (10, None)


def test_a_former_owner_can_write_nothing(claim: Claim) -> None:
    zombie, _ = claim()
    ledger.before(zombie, hi=9, kept=np.arange(10), token="t")
    claim()
    kept = np.arange(10)
    for write in (
        lambda: ledger.check(zombie),
        lambda: ledger.before(zombie, hi=9, kept=kept, token="t", letters=[letter(zombie, 3)]),
        lambda: ledger.after(zombie, hi=9),
        lambda: ledger.advance(zombie, hi=9, letters=[letter(zombie, 3)]),
    ):
        with pytest.raises(Fenced):
            write()
    row = Offset.objects.get(topic_id=zombie.topic_id)
    assert (row.next_offset, row.pending_hi) == (0, 9)
    assert not DeadLetter.objects.filter(topic_id=zombie.topic_id).exists()


def test_the_same_write_may_be_repeated(claim: Claim) -> None:
    """As after an answer that was lost."""
    part, _ = claim()
    for _ in range(2):
        ledger.before(part, hi=9, kept=np.arange(10), token="t", letters=[letter(part, 3)])
    assert DeadLetter.objects.filter(topic_id=part.topic_id).count() == 1
    ledger.after(part, hi=9)
    part.next_offset = 0
    ledger.after(part, hi=9)
    assert part.next_offset == 10


def test_dead_letters_and_offset_move_together(claim: Claim) -> None:
    part, _ = claim()
    broken = letter(part, 3)
    broken.reason = None  # type: ignore[assignment]
    with pytest.raises(Exception, match="reason"):
        ledger.advance(part, hi=9, letters=[broken, letter(part, 4)])
    row = Offset.objects.get(topic_id=part.topic_id)
    assert (row.next_offset, part.next_offset) == (0, 0)
    assert not DeadLetter.objects.filter(topic_id=part.topic_id).exists()


def test_what_retention_deleted_halts(claim: Claim) -> None:
    part, _ = claim()
    ledger.advance(part, hi=9)
    with pytest.raises(Halt, match="10 to 19") as halt:
        claim(low=20)
    assert halt.value.exit_code == EXIT_DATA_LOSS
    claim(low=10)


def test_a_topic_that_ends_before_the_next_offset_halts(claim: Claim) -> None:
    part, _ = claim()
    ledger.advance(part, hi=9)
    with pytest.raises(Halt) as halt:
        claim(high=9)
    assert halt.value.exit_code == EXIT_DATA_LOSS
    claim(high=10)


def test_a_topic_that_ends_within_the_batch_to_redo_halts(claim: Claim) -> None:
    """It would be waited for until other messages have come to its offsets, and these be taken for a repeat."""
    part, _ = claim()
    ledger.before(part, hi=9, kept=np.arange(10), token="t")
    again, pending = claim(high=10)
    assert (again.epoch, pending is not None) == (2, True)
    # The last one: started again by itself, when Kafka has gone on.
    for high in (0, 5, 9, 100):
        with pytest.raises(Halt, match=r"the batch 0-9 .* it ended at \d+ or before") as halt:
            claim(high=high)
        assert halt.value.exit_code == EXIT_DATA_LOSS


def test_the_limits_of_dead_letters_are_kept_by_partition(claim: Claim, settings) -> None:
    settings.DEAD_LETTERS_IN_A_ROW = 3
    part, _ = claim()
    dead_letters.note(part, dead_letters.weigh(part, 3, [0, 1, 2]))
    with pytest.raises(Halt):
        dead_letters.weigh(part, 1, [0])
    other, _ = claim()
    dead_letters.weigh(other, 1, [0])


def test_a_restart_forgets_no_dead_letters(claim: Claim, settings) -> None:
    """What was halted is started again by the supervisor, and would write as many again each time."""
    settings.DEAD_LETTERS_IN_A_ROW = 3
    part, _ = claim()
    ledger.advance(part, hi=99, letters=[letter(part, offset) for offset in (50, 97, 98, 99)])
    again, _ = claim()
    with pytest.raises(Halt, match="4 messages in a row"):
        dead_letters.weigh(again, 2, [0])
    assert dead_letters.weigh(again, 4, [1, 2, 3]).in_a_row == 3, "a good one came first"


def test_a_restart_forgets_no_share_of_dead_letters(claim: Claim, settings) -> None:
    settings.DEAD_LETTERS_SHARE = 0.4
    part, _ = claim(high=5000)
    ledger.advance(part, hi=1999, letters=[letter(part, offset) for offset in range(0, 2000, 2)])
    again, _ = claim(high=5000)
    with pytest.raises(Halt, match="DEAD_LETTERS_SHARE"):
        dead_letters.weigh(again, 1, [0])
    dead_letters.weigh(again, 1, [])
    other = replace(again, partition=1, notes={})
    dead_letters.weigh(other, 1, [0])


@pytest.mark.usefixtures("prepared")
def test_replays_that_fail_again_stop_nothing(claim: Claim, settings) -> None:
    """Somebody replays all letters at once, and nothing has been mended: no version is wrong for that."""
    settings.DEAD_LETTERS_IN_A_ROW = 3
    part, _ = claim()
    headers = replay.headers(DeadLetter(pk=7))
    batch = [
        Message(topic="events", partition=0, offset=offset, value=b"{", timestamp=(1, 0), headers=headers)
        for offset in range(10)
    ]
    assert len(CdcSink().decode(part, batch).letters) == 10
    EventsSink().flush(part, batch)
    again, _ = claim()
    assert again.next_offset == DeadLetter.objects.filter(topic_id=part.topic_id).count() == 10
    assert dead_letters.weigh(again, 1, [0]).in_a_row == 1
