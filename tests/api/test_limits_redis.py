"""Limits on a real Redis, over HTTP and from many threads."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis

from nova import limits
from nova import redis as door
from nova.identity import Viewer

pytestmark = pytest.mark.django_db


@pytest.fixture
def limit(settings) -> int:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "community": 3}
    return 3


@pytest.fixture
def no_redis(settings):
    settings.REDIS_CACHE_URL = "redis://127.0.0.1:1/0"
    door.cache.cache_clear()
    yield
    door.cache.cache_clear()


def test_the_answer_says_how_much_is_left(client_of, limit):
    client = client_of(uuid4())
    answers = [client.get("/api/posts") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert all(answer["RateLimit-Limit"] == "3" and 0 < int(answer["RateLimit-Reset"]) <= 60 for answer in answers)
    refused = answers[-1]
    assert refused["Retry-After"] == refused["RateLimit-Reset"]
    assert refused.json()["error"] == "rate_limited"
    assert "Retry-After" not in answers[0]


def test_each_member_and_each_kind_of_call_has_its_own_window(client_of, limit):
    ann, bob = client_of(uuid4()), client_of(uuid4())
    assert [ann.get("/api/posts").status_code for _ in range(4)][-1] == 429
    assert ann.get("/api/v1/posts").status_code == 429
    assert bob.get("/api/posts").status_code == 200


CALLS = {
    "feed": ("get", "/api/feed?limit=0"),
    "why": ("get", "/api/feed/why"),
    "trending": ("get", "/api/feed/trending?limit=0"),
    "discover": ("get", "/api/discover/suggested-users?limit=0"),
    "events": ("post", "/api/events"),
    "stream": ("post", "/api/feed/stream/ticket"),
    "community": ("get", "/api/posts"),
}


def test_every_limit_has_a_call(settings):
    assert set(CALLS) == set(settings.RATE_LIMITS)


@pytest.mark.parametrize("scope", CALLS)
def test_each_call_is_refused_beyond_its_limit(client_of, settings, scope):
    """What is refused for its content counts too."""
    settings.RATE_LIMITS = {**dict.fromkeys(settings.RATE_LIMITS, 100), scope: 2}
    client = client_of(uuid4())
    method, path = CALLS[scope]
    answers = [getattr(client, method)(path) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[0]["RateLimit-Limit"] == "2"
    assert answers[-1].json()["error"] == "rate_limited"
    assert 0 < int(answers[-1]["Retry-After"]) <= 60


def test_services_have_no_limit(client_of, limit):
    client = client_of(uuid4(), service=True, act_for=uuid4())
    answers = [client.get("/api/posts") for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert not answers[0].has_header("RateLimit-Limit")


def test_a_call_without_a_token_is_not_counted(client, limit):
    assert [client.get("/api/posts").status_code for _ in range(6)] == [401] * 6


def test_fifty_threads_pass_exactly_the_limit(settings):
    settings.RATE_LIMITS = {"feed": 60}
    viewer = Viewer(uuid4())
    with ThreadPoolExecutor(50) as pool:
        verdicts = list(pool.map(lambda _: limits.check(viewer, "feed"), range(500)))
    assert sum(verdict.allowed for verdict in verdicts) == 60
    assert sorted(verdict.remaining for verdict in verdicts if verdict.allowed) == list(range(60))
    assert not limits.local._windows, "Redis counted, not the process"


def test_the_window_ends_in_redis(settings):
    viewer = Viewer(uuid4())
    limits.check(viewer, "feed")
    key = f"limit:v1:feed:{viewer.id}"
    assert 59_000 < door.cache().pttl(key) <= 60_000
    door.cache().persist(key)
    limits.check(viewer, "feed")
    assert door.cache().pttl(key) > 0, "a key that lost its end gets a new one"


def test_without_redis_the_process_counts(client_of, limit, no_redis):
    with pytest.raises(redis.RedisError):
        door.cache().ping()
    client = client_of(uuid4())
    assert [client.get("/api/posts").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
