"""ClickHouse is killed between remembering a batch's token and keeping its rows: it would take the resend for a repeat.

It writes the token to its deduplication log before it makes the part visible. The moment is too short to be hit, so it
is set up: the batch is inserted, the server killed, and the part taken away as if it had never been renamed.
"""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingestion import holes, writer
from ingestion.contract import Event
from ingestion.events import EventsSink
from nova import clickhouse, clock
from nova.errors import Transient
from tests.client import wait_until
from tests.integration import oracle
from tests.integration.batches import Died, lines, messages
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


def answers() -> bool:
    try:
        return bool(clickhouse.query("SELECT 1"))
    except Transient:
        return False


def half_inserted(sink: EventsSink, claim: Any, events: list[Event], monkeypatch, table: str) -> list:
    """The consumer dies when ClickHouse has the batch, whose part of `table` stays as it is."""
    clickhouse.command(f"SYSTEM STOP MERGES {table}")
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
    batch = half_inserted(sink, claim, events, monkeypatch, table)
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


def test_a_resend_that_is_believed_loses_them(sink, claim, crowd: Crowd, prepared, monkeypatch) -> None:
    """Negative control."""
    events = crowd.events(100, event_time=clock.now())
    batch = half_inserted(sink, claim, events, monkeypatch, "events")
    never_renamed(prepared, "events")
    monkeypatch.setattr(holes, "started_since", lambda moment: False)
    successor, pending = claim()
    sink.redo(successor, pending, batch)
    ids = {event.event_id for event in events}
    assert oracle.lost(ids) == ids


def test_only_a_restart_since_then_makes_it_look() -> None:
    assert not holes.started_since(clock.now() + timedelta(hours=1))
    assert holes.started_since(clock.now() - timedelta(days=30))
