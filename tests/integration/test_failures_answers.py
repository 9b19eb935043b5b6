"""Inserts whose answer is lost, or is that there is no memory: sent again unchanged, and counted once."""

from collections.abc import Iterator

import pytest

from nova import clickhouse
from nova.errors import Ambiguous, Overloaded
from tests.integration import oracle
from tests.integration.batches import lines, messages
from tests.integration.proxy import Proxy

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


@pytest.fixture
def through_proxy(settings) -> Iterator[Proxy]:
    where = settings.CLICKHOUSE
    with Proxy(where["host"], where["http_port"]) as proxy:
        settings.CLICKHOUSE = {**where, "http_port": proxy.port}
        clickhouse._http.cache_clear()
        yield proxy
        clickhouse._http.cache_clear()


def test_lost_answers_double_nothing(sink, claim, crowd, through_proxy: Proxy) -> None:
    """Case 16: ClickHouse stores the batch, its answer never arrives, twice; the third try is absorbed."""
    events = crowd.events(300)
    batch = messages(lines(events))
    part, _ = claim()
    through_proxy.losing.set()
    for _ in range(2):
        with pytest.raises(Ambiguous):
            sink.flush(part, batch)
    assert oracle.lost({event.event_id for event in events}) == set(), "it was stored, only nobody said so"
    assert part.next_offset == 0
    through_proxy.losing.clear()
    sink.flush(part, batch)
    assert through_proxy.lost >= 2
    assert part.next_offset == 300
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)


def test_too_little_memory_is_no_dead_letter(sink, claim, crowd, monkeypatch) -> None:
    """Case 17: a server out of memory says so with a code, or just hangs up: both mean wait and send the same again."""
    events = crowd.events(2000)
    batch = messages(lines(events))
    part, _ = claim()
    with monkeypatch.context() as patch:
        patch.setattr(clickhouse, "INSERT_SETTINGS", {**clickhouse.INSERT_SETTINGS, "max_memory_usage": 200_000})
        with pytest.raises(Overloaded):
            sink.flush(part, batch)
    sink.flush(part, batch)
    oracle.assert_exact({event.event_id for event in events}, crowd.posts)
