"""The ladder under load: while members read their feeds, engines are stopped, frozen and killed, and come back.

Every answer of the web server counts, from before an outage until after the recovery: it must be a feed, made by the
path that the outage leaves. Only who has no feed at all is told to come back later, and only while nobody can be asked.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Barrier, Event, Lock, Thread
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from redis import RedisError

from nova import generations
from ranking import cache
from tests.client import Answer, Api, wait_until
from tests.world import World

READERS, VIEWERS, FOLLOWED = 4, 24, 4
# So many answers in a row of one kind show that a path carries the load.
ENOUGH = 40
# Each engine's deadline is a second or less. All of them, one after the other and on a busy machine, take no longer.
LONGEST_SECONDS = 15.0


@dataclass(frozen=True)
class Path:
    """By which path an answer was made. algorithm: "ch", "time", or "" for none (503)."""

    algorithm: str
    hit: bool = False
    stale: bool = False


def path_of(answer: Answer) -> Path:
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) > 0
        return Path("")
    assert answer.status == 200, answer
    assert len(answer.body["posts"]) > 0
    return Path(answer.body["algorithm"], answer.body["cache_hit"], answer.body["stale"])


class Load:
    """Readers who never rest; some feeds are invalidated all the time, so that the cache is hit and missed."""

    def __init__(self, api: Api, viewers: list[UUID]) -> None:
        self._api, self._viewers = api, viewers
        self._over, self._lock = Event(), Lock()
        self._paths: list[Path] = []
        self._faults: list[BaseException] = []
        self.slowest = 0.0
        self._threads = [Thread(target=self._read, args=(number,)) for number in range(READERS)]

    def _read(self, number: int) -> None:
        chance = random.Random(number)
        try:
            while not self._over.is_set():
                viewer = chance.choice(self._viewers)
                if chance.random() < 0.3:
                    invalidate(viewer)
                begun = monotonic()
                path = path_of(self._api.get("/api/feed?limit=20", viewer))
                with self._lock:
                    self._paths.append(path)
                    self.slowest = max(self.slowest, monotonic() - begun)
        except BaseException as fault:
            self._faults.append(fault)

    def wait(self, kind: Callable[[Path], bool], what: str) -> Counter[Path]:
        """Wait until the last `ENOUGH` answers are all of a kind; the paths of all answers since the last wait."""

        def reached() -> bool:
            if self._faults:
                raise self._faults[0]
            with self._lock:
                return len(self._paths) >= ENOUGH and all(map(kind, self._paths[-ENOUGH:]))

        wait_until(reached, what, 120)
        with self._lock:
            found, self._paths = Counter(self._paths), []
        return found

    @contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
        if self._faults:
            raise self._faults[0]


def invalidate(viewer: UUID) -> None:
    with suppress(RedisError):
        generations.bump([viewer])


@pytest.fixture
def viewers(world: World) -> list[UUID]:
    """Members whose feeds have posts by every path."""
    authors = [world.member() for _ in range(FOLLOWED)]
    posts = [world.post(author, hours_ago=1) for author in authors]
    viewers = [world.member() for _ in range(VIEWERS)]
    for viewer in viewers:
        for author in authors:
            world.follow(viewer, author)
    for viewer in viewers:
        world.wait_in_feed(viewer, *posts)
    return viewers


@pytest.fixture
def engine(stack: Any) -> Iterator[Callable[[str], Any]]:
    """An engine by its name, which runs again after the test."""
    taken: dict[str, Any] = {}

    def take(name: str) -> Any:
        return taken.setdefault(name, stack.engine(name))

    yield take
    for part in taken.values():
        if part.pid is None:
            part.start()
        part.thaw()
    cache.reset()


def is_ranked(path: Path) -> bool:
    return path.algorithm == "ch" and not path.stale


def is_in_order_of_time(path: Path) -> bool:
    return path.algorithm == "time"


@pytest.mark.parametrize("frozen", [False, True])
def test_clickhouse_goes_and_comes_back(api: Api, viewers: list[UUID], engine: Any, frozen: bool) -> None:
    clickhouse = engine("clickhouse")
    with Load(api, viewers).running() as load:
        load.wait(is_ranked, "ranked feeds")
        if frozen:
            clickhouse.freeze()
        else:
            clickhouse.kill()
        # Snapshots that are current are still served as they are; every other feed is in order of time.
        during = load.wait(lambda path: is_in_order_of_time(path) or path.hit, "feeds in order of time")
        assert all(path.algorithm for path in during), during
        assert any(is_in_order_of_time(path) for path in load.wait(lambda path: True, "some more"))
        if frozen:
            clickhouse.thaw()
        else:
            clickhouse.start()
        after = load.wait(is_ranked, "ranked feeds again")
        assert all(path.algorithm and not path.stale for path in after), after
    assert load.slowest < LONGEST_SECONDS


@pytest.mark.parametrize("frozen", [False, True])
def test_redis_dies_and_comes_back(api: Api, viewers: list[UUID], engine: Any, frozen: bool) -> None:
    redis = engine("redis")
    with Load(api, viewers).running() as load:
        load.wait(is_ranked, "ranked feeds")
        if frozen:
            redis.freeze()
        else:
            redis.kill()
        during = load.wait(lambda path: is_ranked(path) and not path.hit, "feeds ranked without a cache")
        assert all(path.algorithm for path in during), during
        if frozen:
            redis.thaw()
        else:
            redis.start()
        wait_until(lambda: Path("ch", hit=True) in load.wait(is_ranked, "ranked feeds"), "feeds from the cache again")
    assert load.slowest < LONGEST_SECONDS


CLIENTS = 200


def test_two_hundred_clients_of_one_hot_feed_rank_it_once(api: Api, viewers: list[UUID]) -> None:
    """Case 59 over HTTP: whoever is not answered by the one who makes it finds it made."""
    viewer, start = viewers[0], Barrier(CLIENTS)
    invalidate(viewer)

    def read(_: int) -> Any:
        start.wait()
        return api.feed(viewer, "limit=20")

    with ThreadPoolExecutor(CLIENTS) as pool:
        pages = list(pool.map(read, range(CLIENTS)))
    ranked = [page for page in pages if page["algorithm"] == "ch"]
    assert len({page["snapshot"] for page in ranked}) == 1
    assert sum(not page["cache_hit"] for page in ranked) == 1
    # Unless ClickHouse missed its deadline on a busy machine, nobody was answered otherwise.
    assert len(ranked) > CLIENTS / 2


@pytest.mark.parametrize("frozen", [False, True])
def test_everything_but_redis_dies_and_comes_back(
    api: Api, viewers: list[UUID], world: World, engine: Any, frozen: bool
) -> None:
    """A frozen PostgreSQL still takes connections and acknowledges questions: nobody may wait for its answers."""
    stranger = world.member()
    clickhouse, postgres = engine("clickhouse"), engine("postgres")
    with Load(api, viewers).running() as load:
        load.wait(is_ranked, "ranked feeds")
        clickhouse.kill()
        if frozen:
            postgres.freeze()
        else:
            postgres.kill()
        last_good = load.wait(lambda path: path.stale or path.hit, "the last good feeds")
        assert all(path.algorithm for path in last_good), last_good
        assert path_of(api.get("/api/feed", stranger)) == Path("")
        if frozen:
            postgres.thaw()
        else:
            postgres.start()
        load.wait(lambda path: is_in_order_of_time(path) or path.hit, "feeds in order of time")
        clickhouse.start()
        load.wait(is_ranked, "ranked feeds again")
    wait_until(lambda: api.get("/api/feed", stranger).status == 200, "a feed for the stranger too")
