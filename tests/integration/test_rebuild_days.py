"""Days of aggregates of which no event is left: in a ClickHouse of their own, where no other test has any."""

from datetime import UTC, datetime, timedelta

import pytest

from ingestion import rebuild
from nova import clickhouse
from tests.feeds import Feeds

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.mark.parametrize("ago", [5, 20])
def test_a_day_whose_events_are_gone_is_emptied(feeds: Feeds, ago: int) -> None:
    """Deleted by hand, all of a day: what was made of them goes too, and the days behind it are looked at."""
    days = {"gone": datetime.now(UTC).date() - timedelta(days=ago), "behind": datetime.now(UTC).date()}
    clickhouse.command("INSERT INTO event_ids SELECT arrayJoin([{gone:Date}, {behind:Date}]), generateUUIDv4()", days)
    outcomes = rebuild.rebuild(["event_ids"])
    assert {outcome.day for outcome in outcomes if outcome.mended} == set(days.values())
    assert clickhouse.query("SELECT count() FROM event_ids") == [(0,)]
