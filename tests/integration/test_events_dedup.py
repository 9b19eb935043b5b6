"""When a claim in Redis may be believed, and that ClickHouse is asked when not."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from ingestion import columns, dedup, ledger, preflight, writer
from ingestion.contract import Event
from ingestion.errors import EXIT_SETTINGS, Halt
from ingestion.ledger import Partition
from nova import clickhouse, clock, redis

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]
Taken = Callable[[], Partition]


@pytest.fixture
def topic_id() -> str:
    return uuid4().hex


@pytest.fixture
def take(topic_id: str) -> Callable[[int], Partition]:
    return lambda number=0: ledger.claim("events", "events", topic_id, number, low=0, high=10**9)[0]


@pytest.fixture(autouse=True)
def _trusted(settings) -> Iterator[None]:
    """Claims that are complete since long ago, as in an installation that has run for a while."""
    client = redis.durable(10.0)
    run = client.info("server")["run_id"]
    client.hset(dedup.SENTINEL, mapping={"run": run, "since": 1, "life": settings.DEDUP_TTL_SECONDS})
    yield
    client.delete(dedup.SENTINEL)


def event(**changes) -> Event:
    fields = {
        "event_id": uuid4(),
        "event_time": clock.now(),
        "user_id": uuid4(),
        "post_id": uuid4(),
        "author_id": uuid4(),
        "action": "view",
    }
    return Event(**fields | changes)


def read(events: Sequence[Event], first: int = 0) -> columns.Columns:
    stamps = np.full(len(events), int(time.time() * 1000), np.int64)
    offsets = np.arange(first, first + len(events), dtype=np.int64)
    found = columns.read([one.line() for one in events], offsets, stamps)
    assert not found.failed
    return found.columns


def decide(part: Partition, batch: columns.Columns, stored_up_to: int = -1) -> list[bool]:
    return dedup.decide(part, batch, stored_up_to).keep.tolist()


def store(part: Partition, batch: columns.Columns) -> None:
    writer.insert(batch.arrow_stream(part.topic_id, part.partition), f"test:{uuid4()}")


def test_the_first_of_a_batch_is_kept(take) -> None:
    one, two = event(), event()
    verdict = dedup.decide(take(), read([one, two, one, one, two]), -1)
    assert verdict.keep.tolist() == [True, True, False, False, False]
    assert verdict.duplicates == {"batch": 3}


def test_a_crash_after_the_claim_keeps_the_event(take) -> None:
    batch = read([event() for _ in range(5000)])
    assert all(decide(take(), batch))
    assert all(decide(take(), batch))


def test_what_another_coordinate_is_storing_is_dropped(take) -> None:
    events = [event() for _ in range(10)]
    assert all(decide(take(0), read(events)))
    verdict = dedup.decide(take(1), read(events, first=500), -1)
    assert not verdict.keep.any()
    assert verdict.duplicates == {"claim": 10}


def test_a_claim_whose_event_never_came_is_taken_over_once(take) -> None:
    events = [event() for _ in range(3)]
    first = take(0)
    assert all(decide(first, read(events)))
    ledger.advance(first, hi=10)
    assert all(decide(take(1), read(events)))
    assert not any(decide(take(2), read(events)))


def test_a_claim_whose_event_is_stored_is_believed(take) -> None:
    events = [event() for _ in range(3)]
    first = take(0)
    store(first, read(events))
    assert all(decide(first, read(events)))
    ledger.advance(first, hi=10)
    assert not any(decide(take(1), read(events)))


def test_a_copy_that_says_another_day_is_no_new_event(take) -> None:
    identifier = uuid4()
    first = take(0)
    store(first, read([event(event_id=identifier)]))
    assert decide(first, read([event(event_id=identifier)])) == [True]
    later = event(event_id=identifier, event_time=clock.now() - timedelta(days=2))
    assert decide(take(1), read([later])) == [False]
    ledger.advance(first, hi=10)
    assert decide(take(1), read([later])) == [False]


@pytest.mark.parametrize("known", [True, False])
def test_a_claim_of_a_topic_that_is_no_more_is_looked_up(take, known: bool) -> None:
    """Whether or not the ledger knows of it: it was not passed, and never will be."""
    events, name = [event() for _ in range(4)], uuid4().hex
    gone = ledger.claim("events", "events", name, 0, low=0, high=10)[0] if known else _partition(name)
    assert all(decide(gone, read(events)))
    store(gone, read(events[:1]))
    assert decide(take(0), read(events)) == [False, True, True, True]


def _partition(topic_id: str) -> Partition:
    return Partition(0, "events", "events", topic_id, 0, 1, 0)


def test_what_another_group_claimed_is_looked_up(take, topic_id: str) -> None:
    """Both read the same messages, so the coordinates are the same; and one may stop where the other goes on."""
    events = [event() for _ in range(4)]
    other = ledger.claim("followers", "events", topic_id, 0, low=0, high=10**9)[0]
    assert all(decide(take(), read(events)))
    store(take(), read(events[:1]))
    assert decide(other, read(events)) == [False, True, True, True]
    store(other, read(events[1:2]))
    assert decide(take(), read(events)) == [True, False, True, True]


def test_what_a_group_is_storing_in_another_partition_is_dropped(topic_id: str) -> None:
    events = [event() for _ in range(3)]
    one, other = (ledger.claim("followers", "events", topic_id, at, low=0, high=10**9)[0] for at in (0, 1))
    assert all(decide(one, read(events)))
    assert not any(decide(other, read(events, first=500)))
    ledger.advance(one, hi=10)
    assert all(decide(other, read(events, first=500)))


def test_what_kafka_has_lost_and_got_again_is_looked_up(take) -> None:
    """Claimed at 100, lost with the end of the log, and sent again: now it comes earlier."""
    events = [event() for _ in range(4)]
    assert all(decide(take(), read(events, first=100)))
    store(take(), read(events[:1]))
    assert decide(take(), read(events, first=90)) == [False, True, True, True]


@pytest.mark.parametrize("age", [timedelta(minutes=58), timedelta(days=3), timedelta(days=29)])
def test_older_than_the_claims_is_looked_up(take, age) -> None:
    stored, new = event(event_time=clock.now() - age), event(event_time=clock.now() - age)
    store(take(5), read([stored]))
    assert decide(take(), read([stored, new])) == [False, True]


def test_an_emptied_redis_is_noticed(take) -> None:
    stored, new = event(), event()
    store(take(5), read([stored]))
    assert decide(take(1), read([stored])) == [True], "believed: claims were complete"
    redis.durable(10.0).flushall()
    assert decide(take(2), read([stored, new])) == [False, True]


def test_a_restarted_redis_is_noticed(take) -> None:
    stored = event()
    store(take(5), read([stored]))
    redis.durable(10.0).hset(dedup.SENTINEL, "run", "another run")
    assert decide(take(), read([stored])) == [False]


def test_without_redis_clickhouse_is_asked_and_the_gap_remembered(take, monkeypatch, settings) -> None:
    stored, new, part = event(), event(), take()
    store(take(5), read([stored]))
    with monkeypatch.context() as patch:
        # Port 1 refuses, as a stopped Redis would.
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        redis.durable.cache_clear()
        assert decide(part, read([stored, new, new])) == [False, True, False]
        patch.undo()
    assert part.claims_since is not None
    ledger.advance(part, hi=2)


def test_after_a_gap_in_the_claims_new_ids_are_looked_up(take) -> None:
    stored, part = event(), take()
    store(take(5), read([stored]))
    part.claims_since = clock.now()
    ledger.advance(part, hi=0)
    again = take()
    assert again.claims_since == part.claims_since
    assert decide(again, read([stored])) == [False]


@pytest.fixture(autouse=True)
def _real_redis(settings) -> Iterator[None]:
    yield
    redis.durable.cache_clear()


def test_after_a_rewind_what_is_stored_is_looked_up(take) -> None:
    events = [event() for _ in range(4)]
    part = take()
    assert all(decide(part, read(events)))
    store(part, read(events[:3]))
    assert writer.stored_up_to(part) == 2
    assert decide(part, read(events), stored_up_to=2) == [False, False, False, True]
    part.next_offset = 3
    assert writer.stored_up_to(part) == -1


def test_a_large_batch_is_looked_up_at_once(take) -> None:
    events = [event(event_time=clock.now() - timedelta(days=number % 20)) for number in range(20_000)]
    store(take(5), read(events[:10_000]))
    redis.durable(10.0).flushall()
    assert sum(decide(take(), read(events))) == 10_000


def test_claims_of_another_life_prove_nothing(take, settings) -> None:
    stored = event()
    store(take(5), read([stored]))
    settings.DEDUP_TTL_SECONDS = 7200
    assert decide(take(), read([stored])) == [False]


def test_claims_are_found_in_the_span_after_theirs_and_are_gone_after_that(take, settings) -> None:
    events = [event() for _ in range(3)]
    assert all(decide(take(0), read(events)))
    client, span = redis.durable(10.0), int(time.time()) // settings.DEDUP_TTL_SECONDS
    client.rename(f"dedup:{span}", f"dedup:{span - 1}")
    assert not any(decide(take(1), read(events, first=500)))
    client.rename(f"dedup:{span - 1}", f"dedup:{span - 2}")
    assert all(decide(take(1), read(events, first=500)))
    assert not client.exists(f"dedup:{span - 2}")


def test_claims_name_their_coordinate(take) -> None:
    batch, part = read([event()], first=2**40), take(3)
    decide(part, batch)
    client = redis.durable(10.0)
    (claim,) = [claim for key in client.keys("dedup:*") if (claim := client.hget(key, batch.ids)) is not None]
    assert dedup.coordinate(claim) == (part.topic_id, 3, 2**40)


def test_the_tables_are_fit(take) -> None:
    preflight.check_tables(["events"])
    preflight.check_claims_stay()


def test_a_view_target_without_its_window_is_named() -> None:
    name = f"scratch_{uuid4().hex[:8]}"
    good = "SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1"
    clickhouse.command(f"CREATE TABLE {name} (a UInt8) ENGINE = MergeTree ORDER BY a {good}")
    clickhouse.command(
        f"CREATE TABLE {name}_sums (a UInt8) ENGINE = SummingMergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1"
    )
    clickhouse.command(f"CREATE MATERIALIZED VIEW {name}_view TO {name}_sums AS SELECT a FROM {name}")
    try:
        with pytest.raises(Halt) as halt:
            preflight.check_tables([name, "no_such_table"])
        assert halt.value.exit_code == EXIT_SETTINGS
        assert f"{name}_sums: non_replicated_deduplication_window is 100, wanted at least 10000" in str(halt.value)
        assert f"{name}_sums: fsync_part_directory is 0, wanted 1" in str(halt.value)
        assert f"{name}: " not in str(halt.value)
        assert "no_such_table: there is no such table" in str(halt.value)
    finally:
        for table in (f"{name}_view", f"{name}_sums", name):
            clickhouse.command(f"DROP TABLE {table}")


def test_identifiers_keep_their_order_of_bytes(take) -> None:
    known = event(event_id=UUID("00112233-4455-6677-8899-aabbccddeeff"), post_id=uuid4())
    store(take(9), read([known]))
    assert clickhouse.query("SELECT event_id FROM events WHERE post_id = {p:UUID}", {"p": str(known.post_id)}) == [
        (known.event_id,)
    ]
