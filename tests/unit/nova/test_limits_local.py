"""Limits of one process, for the time without Redis."""

from threading import Thread
from uuid import uuid4

import pytest
from redis.exceptions import TimeoutError as RedisTimeout

from nova import limits
from nova.identity import Viewer


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(limits.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def dead_redis(monkeypatch):
    calls = []

    class Dead:
        def eval(self, *_):
            calls.append(1)
            raise RedisTimeout

    monkeypatch.setattr(limits.redis, "cache", Dead)
    return calls


def test_a_window_opens_with_the_first_call_and_closes_a_minute_later(dead_redis, clock, settings):
    settings.RATE_LIMITS = {"feed": 2}
    viewer = Viewer(uuid4())
    assert limits.check(viewer, "feed") == limits.Verdict(True, 2, 1, 60)
    clock.now += 50
    assert limits.check(viewer, "feed") == limits.Verdict(True, 2, 0, 10)
    assert limits.check(viewer, "feed") == limits.Verdict(False, 2, 0, 10)
    clock.now += 10
    assert limits.check(viewer, "feed") == limits.Verdict(True, 2, 1, 60)


def test_redis_is_left_alone_for_a_while_after_a_failure(dead_redis, clock):
    viewer = Viewer(uuid4())
    for _ in range(5):
        limits.check(viewer, "feed")
    assert len(dead_redis) == 1
    clock.now += 2.1
    limits.check(viewer, "feed")
    assert len(dead_redis) == 2


def test_threads_do_not_lose_counts():
    local = limits._Local()
    threads = [Thread(target=lambda: [local.count("k") for _ in range(200)]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert local.count("k")[0] == 4001


def test_the_windows_kept_are_bounded(clock, monkeypatch):
    monkeypatch.setattr(limits, "_LOCAL_WINDOWS", 3)
    local = limits._Local()
    for number in range(10):
        local.count(str(number))
    assert list(local._windows) == ["7", "8", "9"]


def test_services_are_exempt():
    assert limits.check(Viewer(uuid4(), is_service=True), "feed") is None
    assert limits.headers(None) == {}


def test_headers():
    assert limits.headers(limits.Verdict(True, 60, 59, 7)) == {
        "RateLimit-Limit": "60",
        "RateLimit-Remaining": "59",
        "RateLimit-Reset": "7",
    }
    assert limits.headers(limits.Verdict(False, 60, 0, 7))["Retry-After"] == "7"
