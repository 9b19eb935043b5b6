"""One process makes a feed, the others wait for it: as long as that has a sense."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from nova.errors import Transient
from ranking import building, pipeline, snapshot
from tests.client import wait_until
from tests.feeds import Feeds, invalidate

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.fixture
def ranked(monkeypatch) -> list[int]:
    """One entry for each ranking that is begun."""
    begun: list[int] = []
    gather = building.candidates.gather
    monkeypatch.setattr(building.candidates, "gather", lambda *given: begun.append(1) or gather(*given))
    return begun


def read_together(viewer: UUID, readers: int = 12) -> list[pipeline.Page]:
    start = threading.Barrier(readers)

    def read(_: int) -> pipeline.Page:
        start.wait()
        try:
            return pipeline.page(viewer, limit=5)
        finally:
            connection.close()

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(read, range(readers)))


def test_many_readers_of_one_feed_rank_it_once(viewer: UUID, ranked: list[int]) -> None:
    assert len({page.snapshot for page in read_together(viewer)}) == 1
    assert len(ranked) == 1


def test_when_the_ranking_fails_one_of_those_who_wait_makes_the_next(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 5
    gather = building.candidates.gather

    def failing(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        ranked.append(1)
        # Until the others wait.
        time.sleep(1)
        raise Transient("only this once")

    monkeypatch.setattr(building.candidates, "gather", failing)
    pages = read_together(viewer)
    # Whose ranking failed is answered in order of time.
    assert sorted(page.algorithm for page in pages) == ["ch"] * 11 + ["time"]
    assert len({page.snapshot for page in pages}) == 2
    assert len(ranked) == 2


def test_a_ranking_that_takes_longer_than_its_deadline_is_waited_for(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 2
    gather = building.candidates.gather
    monkeypatch.setattr(building.candidates, "gather", lambda *given: gather(*given) if time.sleep(2.5) is None else 0)
    assert len({page.snapshot for page in read_together(viewer)}) == 1
    assert len(ranked) == 1


def test_behind_a_ranking_that_missed_its_deadline_nobody_waits_for_another(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 3

    def missing(*given):
        ranked.append(1)
        time.sleep(5)
        raise Transient("too late")

    monkeypatch.setattr(building.candidates, "gather", missing)
    assert {page.algorithm for page in read_together(viewer)} == {"time"}
    assert len(ranked) == 1


def test_behind_a_ranking_that_came_late_and_does_not_serve_another_is_made(
    viewer: UUID, monkeypatch, settings
) -> None:
    """It succeeded, and the feed has changed meanwhile: nothing is wrong with ClickHouse."""
    settings.CLICKHOUSE_DEADLINE = 3
    gather = building.candidates.gather

    def overtaken(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        found = gather(*given)
        time.sleep(4)
        invalidate(viewer)
        return found

    monkeypatch.setattr(building.candidates, "gather", overtaken)
    assert {page.algorithm for page in read_together(viewer)} == {"ch"}


def test_who_waits_in_vain_for_others_is_answered_in_order_of_time(viewer: UUID, ranked, settings) -> None:
    settings.CLICKHOUSE_DEADLINE = 0.2
    assert snapshot.lock(str(viewer), "ch", 60)
    assert pipeline.page(viewer, limit=5).algorithm == "time"
    assert not ranked


def test_what_another_made_while_a_rebuild_waited_is_not_made_again(
    feeds: Feeds, viewer: UUID, ranked: list[int]
) -> None:
    """Under load rebuilds wait for their turn, and there each feed would cost two rankings."""
    old = pipeline.page(viewer, limit=5, now=feeds.now - timedelta(minutes=5))
    free = threading.Event()
    for _ in range(2):
        building._builders().submit(free.wait)
    assert pipeline.page(viewer, limit=5).snapshot == old.snapshot
    newer = pipeline.rank(viewer)
    free.set()
    wait_until(lambda: str(viewer) not in building._building, "the rebuild had its turn")
    assert pipeline.page(viewer, limit=5).snapshot == newer
    assert len(ranked) == 2
