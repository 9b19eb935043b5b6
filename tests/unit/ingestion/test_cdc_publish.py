"""What change data capture publishes to `events` goes piece by piece."""

import pytest

from ingestion import bulk, cdc, intake
from nova.errors import Ambiguous


def test_a_try_goes_on_where_the_last_one_ended(monkeypatch) -> None:
    """A broker that acknowledges a piece in each try ends, however many pieces there are."""
    monkeypatch.setattr(bulk, "EVENTS_AT_ONCE", 10)
    batch = cdc.Batch(events=list(range(35)))
    taken: list[int] = []
    tries = iter([True, False, True, True, False, True])

    def publish(events: list[int]) -> None:
        if not next(tries):
            raise Ambiguous("too slow")
        taken.extend(events)

    monkeypatch.setattr(intake, "publish", publish)
    for _ in range(2):
        with pytest.raises(Ambiguous):
            cdc._publish_rest(batch)
    cdc._publish_rest(batch)
    assert taken == list(range(35))
