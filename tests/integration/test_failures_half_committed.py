"""ClickHouse is killed between remembering a batch's token and keeping its rows: it would take the resend for a repeat.

It writes the token to its deduplication log before it makes the part visible. The moment is too short to be hit, so it
is set up: the batch is inserted, the server killed, and the part taken away as if it had never been renamed.
"""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingestion import holes, writer
from ingestion.contract import Event
from ingestion.errors import Fenced
from ingestion.events import EventsSink
from nova import clickhouse, clock
from nova.errors import Transient
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.batches import Died, lines, messages, read
from tests.integration.ingest import Crowd

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


def never_renamed(prepared: Any, table: str) -> None:
    """Kill the server as if it had died before the newest part of `table` was made visible."""
    [(path,)] = clickhouse.query(
        "SELECT argMax(path, modification_time) FROM system.parts WHERE database = currentDatabase() AND active"
        " AND table = {table:String} AND rows > 0 AND level = 0",
        {"table": table},
    )
    server = prepared.engine("clickhouse")
    server.kill()
    shutil.rmtree(Path(path))
    server.start()
    wait_until(answers, "ClickHouse")


def stop_merges(table: str) -> None:
    """The newest part stays as it is, until the server is started anew."""
    clickhouse.command(f"SYSTEM STOP MERGES {table}")


def answers() -> bool:
    try:
        return bool(clickhouse.query("SELECT 1"))
    except Transient:
        return False


def half_inserted(sink: EventsSink, claim: Any, events: list[Event], monkeypatch) -> list:
    """The consumer dies when ClickHouse has the batch."""
    part, _ = claim()
    batch = messages(lines(events))
    insert = writer.insert

    def dying(body: bytes, token: str) -> None:
        insert(body, token)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(writer, "insert", dying)
        with pytest.raises(Died):
            sink.flush(part, batch)
    return batch


@pytest.mark.parametrize("table", ["events", "event_ids"])
def test_rows_whose_token_alone_survived_are_put_in(sink, claim, crowd: Crowd, prepared, monkeypatch, table) -> None:
    events = crowd.events(100, event_time=clock.now())
    stop_merges(table)
    batch = half_inserted(sink, claim, events, monkeypatch)
    never_renamed(prepared, table)
    successor, pending = claim()
    with capture_logs() as said:
        sink.redo(successor, pending, batch)
    assert successor.next_offset == 100
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)
    [loud] = [entry for entry in said if entry["event"] == "token_without_rows"]
    lacking = {"events": (100, 0), "event_ids": (0, 100)}[table]
    assert (loud["log_level"], loud["rows"], loud["ids"]) == ("critical", *lacking)
    assert clickhouse.query("SELECT name FROM system.tables WHERE name LIKE 'events_rest_%'") == []


def test_rows_that_were_sent_alone_are_put_in_too(sink, claim, crowd: Crowd, prepared, monkeypatch) -> None:
    """The tokens were in doubt, so what was missing was sent under another, and of that the token alone survived."""
    events = crowd.events(100, event_time=clock.now())
    stop_merges("events")
    part, _ = claim()
    batch = messages(lines(events))
    insert = writer.insert

    def dying(body: bytes, token: str) -> None:
        raise Died

    def dying_later(body: bytes, token: str) -> None:
        insert(body, token)
        raise Died

    doubting = EventsSink(doubt_tokens=True)
    for first, died in ((sink, dying), (doubting, dying_later)):
        monkeypatch.setattr(writer, "insert", died)
        with pytest.raises(Died):
            first.flush(part, batch)
    monkeypatch.setattr(writer, "insert", insert)
    never_renamed(prepared, "events")
    successor, pending = claim()
    doubting.redo(successor, pending, batch)
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)


def test_a_resend_that_is_believed_loses_them(sink, claim, crowd: Crowd, prepared, monkeypatch) -> None:
    """Negative control."""
    events = crowd.events(100, event_time=clock.now())
    stop_merges("events")
    batch = half_inserted(sink, claim, events, monkeypatch)
    never_renamed(prepared, "events")
    monkeypatch.setattr(holes, "started_since", lambda moment: False)
    successor, pending = claim()
    sink.redo(successor, pending, batch)
    ids = {event.event_id for event in events}
    assert oracle.lost(ids) == ids


def test_only_a_restart_since_then_makes_it_look() -> None:
    assert not holes.started_since(clock.now() + timedelta(hours=1))
    assert holes.started_since(clock.now() - timedelta(days=30))


def made_over(crowd: Crowd) -> tuple[Any, ...]:
    """What a late like of these posts counts in: their counters, and affinity, which is kept by day for 90 days."""
    asked = {"posts": ([("id", "UUID")], [(post,) for post in crowd.posts])}
    [counters] = clickhouse.query("SELECT sum(likes) FROM post_counters WHERE post_id IN posts", tables=asked)
    [affinity] = clickhouse.query(
        "SELECT sum(interactions) FROM user_author_90d WHERE author_id = {author:UUID}", {"author": str(crowd.author)}
    )
    return *counters, *affinity


@pytest.mark.parametrize("kept", ["tokens kept", "tokens lost"])
def test_rows_that_have_reached_their_ttl_are_not_lacking(sink, claim, crowd: Crowd, monkeypatch, kept: str) -> None:
    """A like that is published from its table late is forgotten by `events` before the batch is sent again."""
    moment = clock.now() - timedelta(days=40)
    events = crowd.events(50, event_time=moment, source="table", action="like")
    batch = half_inserted(sink, claim, events, monkeypatch)
    counted = made_over(crowd)
    assert counted == (50, 50)
    clickhouse.command(f"OPTIMIZE TABLE events PARTITION {moment:%Y%m%d} FINAL")
    ids = {event.event_id for event in events}
    assert oracle.lost(ids) == ids
    if kept == "tokens lost":
        clickhouse.command("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 0")
        clickhouse.command("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 20000")
    successor, pending = claim()
    long_ago = replace(pending, since=clock.now() - timedelta(days=1))
    with capture_logs() as said:
        EventsSink(doubt_tokens=kept == "tokens lost").redo(successor, long_ago, batch)
    assert successor.next_offset == 50
    assert made_over(crowd) == counted
    assert "token_without_rows" not in [entry["event"] for entry in said]


def test_a_zombie_puts_nothing_in(claim, crowd: Crowd) -> None:
    """It would go past every token."""
    events = crowd.events(20)
    zombie, _ = claim()
    claim()
    with pytest.raises(Fenced):
        holes.fill(zombie, read(messages(lines(events))), 19)
    ids = {event.event_id for event in events}
    assert oracle.lost(ids) == ids


def test_what_a_killed_process_left_is_cleared_away(claim, crowd: Crowd) -> None:
    killed, _ = claim()
    successor, _ = claim()
    later = replace(successor, epoch=successor.epoch + 1)
    left = {part: f"{holes._scratch_of(part)}{part.epoch}" for part in (killed, later)}
    for name in left.values():
        clickhouse.command(f"CREATE TABLE {name} AS events")
    events = crowd.events(20)
    holes.fill(successor, read(messages(lines(events))), 19)
    assert oracle.stored({event.event_id for event in events}).total() == 20
    assert clickhouse.query("SELECT name FROM system.tables WHERE name LIKE 'events_rest_%'") == [(left[later],)]
    clickhouse.command(f"DROP TABLE {left[later]} SYNC")
