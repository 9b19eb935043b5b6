"""When counts in ClickHouse's memory are believed, and when they are loaded anew: by what the server says of them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from community.ids import id_at
from nova import clock
from ranking import recent
from ranking.recent import Memory

MOST = 15.0
GOOD = Memory(loaded=True, loading=False, failed=False, age=3.0, took=0.2, changed=True)


@pytest.mark.parametrize(
    ("held", "serves", "is_due"),
    [
        (GOOD, True, False),
        (GOOD._replace(age=6.0), True, True),
        (GOOD._replace(age=15.0), True, True),
        (GOOD._replace(age=16.0), False, True),
        # Nothing was counted since: they are as right as they were, and there is nothing to load.
        (GOOD._replace(age=500.0, changed=False), True, False),
        # Except what cannot be seen by the times of the parts.
        (GOOD._replace(age=601.0, changed=False), True, True),
        # They could not be loaded again: whether anything was counted since the last try says nothing.
        (GOOD._replace(age=16.0, changed=False, failed=True), False, True),
        (GOOD._replace(age=6.0, changed=False, failed=True), True, True),
        # Somebody loads them already.
        (GOOD._replace(age=14.0, loading=True), True, False),
        (GOOD._replace(age=16.0, loading=True), False, False),
        # What was counted since is asked of the loading that goes on, not of what is still there.
        (GOOD._replace(age=16.0, loading=True, changed=False), False, False),
        # After a restart, or while they cannot be loaded at all.
        (GOOD._replace(loaded=False), False, True),
        (GOOD._replace(loaded=False, loading=True), False, False),
        # What takes long is done seldom: a tenth of the time at most.
        (GOOD._replace(age=14.0, took=2.0), True, False),
        (GOOD._replace(age=21.0, took=2.0), False, True),
    ],
)
def test_what_is_made_of_what_the_server_says(held: Memory, serves: bool, is_due: bool) -> None:
    assert (held.serves(MOST), held.is_due(MOST)) == (serves, is_due)


def test_an_id_tells_whether_the_counts_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 9, 23, 59, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    held = recent.ids_held()
    first = datetime(2026, 3, 2, tzinfo=UTC)
    for moment in (first, first + timedelta(days=5), now, now + timedelta(days=1)):
        assert held(str(id_at(moment, 0)))
        assert held(str(id_at(moment, 2**74 - 1)))
    assert not held(str(id_at(first - timedelta(milliseconds=1), 2**74 - 1)))
    # Ids that hold no time.
    assert not any(
        held(str(identifier)) for identifier in (uuid4(), UUID(int=0), UUID("ffffffff-ffff-4fff-bfff-ffffffffffff"))
    )
