"""A Redis that answers later than its timeout still does what it was sent: nobody may send it twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest
import redis as library

from feed.stream import places
from nova import limits, redis
from nova.identity import Viewer
from ranking import cache, snapshot


@pytest.fixture
def late(stack, settings) -> Iterator[Callable[[], library.Redis]]:
    """Redis does nothing for one and a half of its timeouts: a second try would be answered.

    To be called afterwards: a connection to see what came of all that was sent.
    """
    settings.REDIS_TIMEOUT = 0.4
    redis.cache.cache_clear()
    cache.reset()
    redis.cache().ping()
    engine = stack.engine("redis")
    engine.freeze()
    thaw = threading.Timer(0.6, engine.thaw)
    thaw.start()

    def afterwards() -> library.Redis:
        thaw.join()
        settings.REDIS_TIMEOUT = 30
        redis.cache.cache_clear()
        return redis.cache()

    yield afterwards
    thaw.join()
    redis.cache.cache_clear()
    cache.reset()


def test_a_command_is_sent_once(late) -> None:
    name = f"test:{uuid4()}"
    with suppress(library.TimeoutError):
        redis.cache().incr(name)
    assert late().get(name) == b"1"


def test_a_call_is_counted_once(late) -> None:
    viewer = uuid4()
    verdict = limits.check(Viewer(viewer), "feed")
    assert verdict
    assert verdict.allowed
    assert late().get(f"limit:v1:feed:{viewer}") == b"1"


def test_a_place_is_taken_once(late, settings) -> None:
    settings.STREAMS_PER_VIEWER = 1
    viewer = uuid4()
    with suppress(library.TimeoutError):
        assert places.take(viewer, "one")
    assert late().zcard(f"streams:v1:{viewer}") == 1


def test_who_makes_a_feed_does_not_wait_for_themselves(late) -> None:
    """On a second try the lock would be found taken, by the first."""
    assert snapshot.lock(str(uuid4()), "ch", 30.0) is not None


def test_a_connection_that_the_server_closed_is_replaced(settings) -> None:
    """One that is held, so that no pool looks at it first."""
    name, held = f"test:{uuid4()}", redis.cache().client()
    held.ping()
    with library.Redis.from_url(settings.REDIS_CACHE_URL) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    assert held.incr(name) == 1
