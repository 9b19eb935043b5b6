"""What ClickHouse can do to an insert, and that every event is still counted once, in `events` and in every view."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from clickhouse_sql import schema
from ingestion import ledger, preflight, resend, writer
from ingestion.batcher import Batcher, Bounds
from ingestion.contract import Event
from ingestion.errors import EXIT_SETTINGS, Fenced, Halt
from ingestion.events import EventsSink
from ingestion.flushing import Held, Job, insistently
from ingestion.ledger import Partition
from ingestion.models import Offset
from nova import clickhouse, clock
from nova.errors import Overloaded, Transient
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.batches import Died, lines, messages, read
from tests.integration.ingest import Crowd

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


def ids(events: list[Event]) -> set[UUID]:
    return {event.event_id for event in events}


@contextmanager
def setting(table: str, **values: int) -> Iterator[None]:
    """Other settings of a table for a while; afterwards those it is declared with, or the server's own."""
    [(before,)] = clickhouse.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": table},
    )
    clickhouse.command(f"ALTER TABLE {table} MODIFY SETTING {', '.join(f'{key} = {n}' for key, n in values.items())}")
    try:
        yield
    finally:
        declared = dict(pair.split(" = ") for pair in before.partition(" SETTINGS ")[2].split(", "))
        for key in values:
            back = f"MODIFY SETTING {key} = {declared[key]}" if key in declared else f"RESET SETTING {key}"
            clickhouse.command(f"ALTER TABLE {table} {back}")


def forget_tokens(table: str) -> None:
    """Lose the table's deduplication log."""
    with setting(table, non_replicated_deduplication_window=0):
        pass


def half_inserted(part: Partition, batch: list, monkeypatch, *, rows: int | None = None) -> None:
    """A process dies when ClickHouse has the batch, or only the first `rows` rows of it."""
    insert = writer.insert

    def dying(body: bytes, token: str) -> None:
        some = body if rows is None else read(batch[:rows]).arrow_stream(part.topic_id, part.partition)
        insert(some, token)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(writer, "insert", dying)
        with pytest.raises(Died):
            EventsSink().flush(part, batch)


@contextmanager
def failing_view(name: str) -> Iterator[None]:
    """A view on events that throws. Views are fed in the order of their names."""
    clickhouse.command(f"CREATE TABLE {name}_target (a UInt8) ENGINE = Null")
    clickhouse.command(f"CREATE MATERIALIZED VIEW {name} TO {name}_target AS SELECT throwIf(1) AS a FROM events")
    try:
        yield
    finally:
        clickhouse.command(f"DROP TABLE {name}")
        clickhouse.command(f"DROP TABLE {name}_target")


@pytest.mark.parametrize("name", ["mv_aaa_fails", "mv_zzz_fails"])
def test_a_view_that_fails_leaves_no_gap(sink, claim, crowd, name: str) -> None:
    """Case 3: a view throws in the middle of an insert; once it is mended, the resend fills only what is lacking."""
    events = crowd.events(200)
    part, _ = claim()
    batch = messages(lines(events))
    with failing_view(name):
        for _ in range(2):
            with pytest.raises(Transient):
                sink.flush(part, batch)
    sink.flush(part, batch)
    assert part.next_offset == 200
    oracle.assert_exact(ids(events), crowd.posts)


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("events", "non_replicated_deduplication_window", 0),
        ("post_counters", "non_replicated_deduplication_window", 0),
        ("events", "fsync_after_insert", 0),
        ("seen_posts", "fsync_part_directory", 0),
    ],
)
def test_tables_that_would_double_or_lose_are_refused(table: str, name: str, value: int) -> None:
    """Cases 4, 5, 15: no window on the table or on a view's target, or no fsync: nothing starts, and it says which."""
    with setting(table, **{name: value}), pytest.raises(Halt) as halt:
        preflight.check_tables([writer.TABLE])
    assert halt.value.exit_code == EXIT_SETTINGS
    assert f"{table}: {name} is {value}, wanted" in str(halt.value)
    preflight.check_tables([writer.TABLE])


def _thrice(claim, events: list[Event]) -> None:
    part, _ = claim()
    body, token = read(messages(lines(events))).arrow_stream(part.topic_id, part.partition), f"test:{uuid4()}"
    for _ in range(3):
        writer.insert(body, token)


@pytest.mark.parametrize("table", ["events", "post_counters"])
def test_without_a_window_three_tries_count_three_times(claim, crowd, table: str) -> None:
    """Negative control of cases 4 and 5: the oracle sees what a missing window does."""
    events = crowd.events(50, action="view", source="client")
    with setting(table, non_replicated_deduplication_window=0):
        _thrice(claim, events)
    assert (oracle.doubled(ids(events)) == ids(events)) == (table == "events")
    assert "post_counters" in oracle.miscounted(crowd.posts) or table == "events"


@contextmanager
def missing_view(name: str) -> Iterator[None]:
    """A view that is not fed for a while, as when the server is killed after `events` has its part and before this."""
    clickhouse.command(f"DETACH TABLE {name}")
    try:
        yield
    finally:
        clickhouse.command(f"ATTACH TABLE {name}")


def test_the_insert_itself_asks_for_deduplication_in_views(claim, crowd, monkeypatch) -> None:
    """Case 6: every insert pins the setting. Negative control: without it, a resend of what one view has not got
    counts twice in the others."""
    events = crowd.events(50)
    _thrice(claim, events)
    oracle.assert_exact(ids(events), crowd.posts)

    def miscounted_after_a_resend() -> dict[str, int]:
        others, (part, _) = Crowd(), claim()
        body, token = read(messages(lines(others.events(50)))).arrow_stream(part.topic_id, part.partition), str(uuid4())
        with missing_view("mv_post_counters"):
            writer.insert(body, token)
        writer.insert(body, token)
        return oracle.miscounted(others.posts)

    assert miscounted_after_a_resend() == {}
    unpinned = {"deduplicate_blocks_in_dependent_materialized_views": 0}
    monkeypatch.setattr(clickhouse, "INSERT_SETTINGS", clickhouse.INSERT_SETTINGS | unpinned)
    assert "post_metrics_1h" in miscounted_after_a_resend()


def test_a_retry_on_another_day_is_the_same_batch(sink, claim, crowd, monkeypatch) -> None:
    """Case 9: only times in the message decide where a row goes, so a redo tomorrow is absorbed."""
    events = crowd.events(200)
    batch = messages(lines(events))
    part, _ = claim()
    half_inserted(part, batch, monkeypatch)
    successor, pending = claim()
    monkeypatch.setattr(clock, "now", lambda real=clock.now: real() + timedelta(days=1))
    sink.redo(successor, pending, batch)
    oracle.assert_exact(ids(events), crowd.posts)


def test_nothing_declared_depends_on_the_time_of_the_insert() -> None:
    """Case 9: no view and no table of events computes a value from now()."""
    statements = [statement.lower() for script in schema.declared() for statement in script.statements]
    views = [statement for statement in statements if "materialized view" in statement]
    assert views
    for statement in views + [one for one in statements if "partition by" in one]:
        assert "now(" not in statement
        assert "today(" not in statement


def test_too_many_parts_slow_us_down_and_lose_nothing(sink, claim, crowd) -> None:
    """Case 12: ClickHouse refuses inserts until merges catch up; the batch waits, unchanged, and the offset with it."""
    events = crowd.events(100)
    batch = messages(lines(events))
    part, pending = claim()
    held = Held(part, Batcher(Bounds(1000, 1.0), next_offset=0), pending)
    clickhouse.command("SYSTEM STOP MERGES events")
    try:
        with setting("events", parts_to_throw_insert=1, parts_to_delay_insert=1):
            refused = 0
            for _ in range(2):
                try:
                    sink.flush(part, batch)
                except Overloaded:
                    refused += 1
            assert refused
            assert part.next_offset == 0
            mended = threading.Timer(1.0, lambda: clickhouse.command(relief))
            relief = "ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 3000, parts_to_delay_insert = 1000"
            mended.start()
            insistently("events", Job(held, batch, None), lambda: sink.flush(part, batch))
    finally:
        clickhouse.command("SYSTEM START MERGES events")
    assert part.next_offset == 100
    oracle.assert_exact(ids(events), crowd.posts)


def test_what_was_deleted_can_be_stored_again(sink, claim, crowd) -> None:
    """Case 13: rows were deleted and the ledger set back: they come again, as the new epoch names its batches anew."""
    events = crowd.events(100, event_time=clock.now())
    batch = messages(lines(events))
    part, _ = claim()
    old_token = writer.token(part, 99)
    sink.flush(part, batch)
    gone = ids(events[::2])
    day = events[0].event_time.date()
    for table, partition in (("events", f"{day:%Y%m%d}"), ("event_ids", f"'{day}'")):
        clickhouse.command(
            f"ALTER TABLE {table} DELETE IN PARTITION {partition} WHERE event_id IN {{ids:Array(UUID)}}",
            {"ids": [str(one) for one in gone]},
        )
    wait_until(lambda: clickhouse.query("SELECT count() FROM system.mutations WHERE NOT is_done") == [(0,)], "deleted")
    writer.insert(read(batch[::2]).arrow_stream(part.topic_id, part.partition), old_token)
    assert oracle.lost(ids(events)) == gone, "control: the old token swallows them"

    Offset.objects.filter(pk=part.row).update(next_offset=0)
    again, _ = claim()
    sink.flush(again, batch)
    assert (oracle.lost(ids(events)), oracle.doubled(ids(events))) == (set(), set())


@pytest.mark.parametrize("rows", [None, 40])
def test_a_lost_deduplication_log_doubles_nothing(claim, crowd, monkeypatch, rows: int | None) -> None:
    """Case 14: the log is gone, some or all rows are there: only the others are sent, and the days are named."""
    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    half_inserted(part, batch, monkeypatch, rows=rows)
    forget_tokens("events")
    successor, pending = claim()
    with capture_logs() as said:
        EventsSink(doubt_tokens=True).redo(successor, pending, batch)
    assert successor.next_offset == 100
    oracle.assert_exact(ids(events), crowd.posts)
    [loud] = [entry for entry in said if entry["event"] == "not_sent_again"]
    assert (loud["log_level"], loud["present"], loud["missing"]) == ("critical", rows or 100, 100 - (rows or 100))
    assert "rebuild_views --days" in loud["todo"]
    assert claim()[1] is None


def test_two_owners_who_find_the_same_rows_missing_put_them_in_once(claim, crowd, monkeypatch) -> None:
    """The first one's insert is under way when the partition goes to another, who cannot see its rows yet."""
    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    half_inserted(part, batch, monkeypatch, rows=40)
    forget_tokens("events")
    slow, pending = claim()
    insert = writer.insert

    def late(body: bytes, token: str) -> None:
        monkeypatch.setattr(writer, "insert", insert)
        successor, same = claim()
        EventsSink(doubt_tokens=True).redo(successor, same, batch)
        insert(body, token)

    monkeypatch.setattr(writer, "insert", late)
    with pytest.raises(Fenced):
        EventsSink(doubt_tokens=True).redo(slow, pending, batch)
    oracle.assert_exact(ids(events), crowd.posts)


def test_a_lost_log_that_nobody_notices_doubles(claim, crowd, monkeypatch) -> None:
    """Negative control of case 14."""
    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    half_inserted(part, batch, monkeypatch)
    forget_tokens("events")
    successor, pending = claim()
    EventsSink().redo(successor, pending, batch)
    assert oracle.doubled(ids(events)) == ids(events)


def test_a_host_that_started_since_may_have_lost_the_log(sink, claim, crowd, monkeypatch) -> None:
    """Case 14: ClickHouse tells since when its host is up; a batch that is older is compared before it is sent."""
    now = clock.now()
    monkeypatch.setattr(resend, "_RESTORED", "SELECT 0")
    assert not resend.token_may_be_lost(now - timedelta(days=1)), "not told here: trusted"
    monkeypatch.setattr(resend, "_BOOT", "SELECT toUnixTimestamp(now()) - 3600")
    assert not resend.token_may_be_lost(now)
    assert resend.token_may_be_lost(now - timedelta(hours=2))

    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    half_inserted(part, batch, monkeypatch)
    forget_tokens("events")
    Offset.objects.filter(pk=part.row).update(updated_at=now - timedelta(hours=2))
    claim()
    successor, pending = claim()
    sink.redo(successor, pending, batch)
    oracle.assert_exact(ids(events), crowd.posts)


@pytest.fixture
def restored() -> Iterator[None]:
    """PostgreSQL was restored from a backup an hour ago; the epoch is that of other tests."""
    clickhouse.command("INSERT INTO restore_epochs SELECT 0, now64(6) - INTERVAL 1 HOUR, 'of this test'")
    yield
    clickhouse.command("DELETE FROM restore_epochs WHERE reason = 'of this test'")


@pytest.mark.usefixtures("restored")
def test_a_batch_that_was_pending_in_a_backup_is_not_doubled(sink, claim, crowd) -> None:
    """It was stored soon after the backup was made, so long ago that its token is forgotten."""
    events = crowd.events(100)
    batch = messages(lines(events))
    part, _ = claim()
    ledger.before(part, hi=99, kept=np.arange(100), token=writer.token(part, 99))
    backup = Offset.objects.filter(pk=part.row).values().get()
    successor, pending = claim()
    sink.redo(successor, pending, batch)
    assert oracle.lost(ids(events)) == set()

    forget_tokens("events")
    Offset.objects.filter(pk=part.row).update(**backup | {"updated_at": clock.now() - timedelta(days=1)})
    again, pending = claim()
    assert pending is not None
    sink.redo(again, pending, batch)
    oracle.assert_exact(ids(events), crowd.posts)
    assert claim()[0].next_offset == 100
