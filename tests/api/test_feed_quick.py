"""GET /api/feed while a good feed is kept: the short way gives what the long one gives."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import orjson
import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory
from prometheus_client import REGISTRY

from feed.quick import QuickFeed, answered
from ingestion import effects
from ingestion.effects import Effects
from nova import clock, identity, redis
from nova.management.commands.issue_token import issue
from ranking import experiments, head, pipeline, snapshot
from ranking.models import Experiment
from ranking.scoring import Weights
from ranking.snapshot import Snapshot
from tests.client import wait_until
from tests.feeds import Feeds, invalidate, member
from tests.ranking_fixtures import reconnect

pytest_plugins = ["tests.ranking_fixtures"]

PATHS = ("/api/feed", "/api/v1/feed")
OF_THIS_CALL = {"X-Request-ID", "RateLimit-Remaining", "RateLimit-Reset", "Content-Length"}


@pytest.fixture
def viewer(feeds: Feeds) -> UUID:
    viewer, followees = member(), [member() for _ in range(5)]
    feeds.follow(viewer, *followees)
    for number, followee in enumerate(followees):
        feeds.posts(followee, hours_ago=[1 + number, 11 + number])
    return viewer


class Client:
    """A viewer's calls as the web server hands them on, to the whole of the application."""

    def __init__(self, **defaults: str) -> None:
        self.defaults = {"HTTP_HOST": "testserver", **defaults}
        self._application = QuickFeed(WSGIHandler())

    def get(self, path: str, data: Any = None, headers: Any = None) -> Any:
        environ = RequestFactory(**self.defaults).get(path, data, headers=headers).environ
        said: list[Any] = []
        answer = self._application(environ, lambda status, headers: said.extend([status, headers]))
        status, sent = said
        whole = HttpResponse(b"".join(answer), status=int(status.split()[0]), headers=dict(sent))
        whole.json = lambda: orjson.loads(whole.content)  # type: ignore[attr-defined]
        return whole


@pytest.fixture
def client(viewer: UUID) -> Client:
    """One whose token is known and whose feed is kept."""
    client = Client(HTTP_AUTHORIZATION=f"Bearer {issue(viewer, hours=1)}")
    assert client.get("/api/feed").json()["cache_hit"] is False
    return client


@pytest.fixture
def short_way_only(client, monkeypatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(pipeline, "page", refused)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "limit=3", "limit=100&explain=0", "algo=ch"])
def test_the_short_way_is_taken(client, short_way_only, path: str, query: str) -> None:
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 200
    assert len(answer.json()["posts"]) == (3 if query == "limit=3" else 10)


def test_the_short_way_is_taken_in_order_of_time_too(client, viewer: UUID, short_way_only) -> None:
    ranked = snapshot.read(str(viewer), algorithm="ch", limit=10)
    assert isinstance(ranked, snapshot.Slice)
    made = Snapshot.made(
        ranked.entries[::-1], algorithm="time", generation=0, weights=Weights.configured(), now=clock.now()
    )
    assert snapshot.keep(str(viewer), made)
    kept = client.get("/api/feed?algo=time&limit=4").json()
    assert [post["id"] for post in kept["posts"]] == [entry.id for entry in made.entries[:4]]
    assert (kept["algorithm"], kept["snapshot"], kept["experiment"]) == ("time", made.about.snapshot, None)


@pytest.mark.parametrize("limit", [1, 4, 10, 50])
def test_both_ways_say_the_same(client, viewer: UUID, limit: int) -> None:
    short = client.get("/api/feed", {"limit": limit})
    long = client.get("/api/feed", {"limit": limit}, headers={"X-Act-For": str(viewer)})
    said, as_said = short.json(), long.json()
    assert said.pop("latency_ms") >= 0
    assert as_said.pop("latency_ms") >= 0
    assert said == as_said
    assert said["has_more"] is (limit < 10)
    assert set(short.headers) == set(long.headers)
    for name in set(short.headers) - OF_THIS_CALL:
        assert short.headers[name] == long.headers[name]


@pytest.fixture
def experiment(feeds: Feeds) -> str:
    """The name of one that all viewers are in. To be named before `client`, whose calls end the test's connection."""
    one = Experiment(name="fresh", freshness=1, engagement=0, affinity=0, decay=0.2, share=100, active=True)
    experiments.save(one, by="ann")
    # Read once, it is remembered.
    assert experiments.weights_of(str(member()), clock.now()).experiment == one.name
    return one.name


def test_both_ways_name_the_experiment(experiment: str, client, viewer: UUID) -> None:
    short = client.get("/api/feed").json()
    long = client.get("/api/feed", headers={"X-Act-For": str(viewer)}).json()
    assert (short["experiment"], short["cache_hit"], short["snapshot"]) == (experiment, True, long["snapshot"])
    assert long["experiment"] == experiment


def test_the_short_way_is_taken_in_an_experiment(experiment: str, client, short_way_only) -> None:
    assert client.get("/api/feed").json()["experiment"] == experiment


def test_its_cursor_leads_on(client) -> None:
    whole = [post["id"] for post in client.get("/api/feed").json()["posts"]]
    page = client.get("/api/feed", {"limit": 4}).json()
    rest = client.get("/api/feed", {"cursor": page["cursor"]}).json()
    assert [post["id"] for post in page["posts"] + rest["posts"]] == whole


def test_every_call_is_counted_once_whichever_way(client, viewer: UUID) -> None:
    def left(**options: Any) -> int:
        answer = client.get("/api/feed", **options)
        assert answer.status_code == 200
        return int(answer.headers["RateLimit-Remaining"])

    first = left()
    invalidate(viewer)
    found = [left(), left(headers={"X-Act-For": str(viewer)}), left(data={"explain": 1}), left()]
    assert found == [first - 1, first - 2, first - 3, first - 4]


def test_a_used_up_limit_is_said(client, settings) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "feed": 2}
    assert client.get("/api/feed").status_code == 200
    refused = client.get("/api/feed")
    assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
    assert refused.json()["request_id"] == refused.headers["X-Request-ID"]


def test_a_call_that_redis_answers_too_late_is_counted_once(client, viewer: UUID, stack, settings) -> None:
    settings.REDIS_TIMEOUT = 0.5
    reconnect()
    client.get("/api/feed")
    name = f"limit:v1:feed:{viewer}"
    before = int(redis.cache().get(name))
    stack.engine("redis").freeze()
    try:
        assert client.get("/api/feed").status_code == 200
    finally:
        stack.engine("redis").thaw()
    settings.REDIS_TIMEOUT = 30
    reconnect()
    assert int(redis.cache().get(name)) == before + 1


def test_services_have_no_limit(viewer: UUID, client, short_way_only) -> None:
    service = Client(HTTP_AUTHORIZATION=f"Bearer {issue(viewer, hours=1, service=True)}")
    identity.authenticate_header(service.defaults["HTTP_AUTHORIZATION"])
    assert not service.get("/api/feed").has_header("RateLimit-Limit")


def test_a_deleted_post_is_left_out_and_its_place_filled(client, short_way_only) -> None:
    whole = [post["id"] for post in client.get("/api/feed").json()["posts"]]
    redis.cache().zadd(snapshot.GONE, dict.fromkeys(whole[1:3], 1.0))
    page = client.get("/api/feed", {"limit": 4}).json()
    assert [post["id"] for post in page["posts"]] == [whole[0], *whole[3:6]]
    redis.cache().zadd(snapshot.GONE, dict.fromkeys(whole, 1.0))
    page = client.get("/api/feed", {"limit": 4}).json()
    assert (page["posts"], page["has_more"], page["cursor"]) == ([], False, None)


def _asked_redis(command: str) -> int:
    """How often Redis has run a command, in scripts too."""
    return int(redis.cache().info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_deletion_that_a_slower_clock_notes_is_seen_too(client, short_way_only) -> None:
    """By the time of the newest readers know that there is another, also when an old one is dropped with it."""
    first = client.get("/api/feed").json()["posts"]
    effects.announce(Effects(gone={uuid4()}), now=clock.now())
    redis.cache().zadd(snapshot.GONE, {"of long ago": 1.0})
    assert client.get("/api/feed").json()["posts"] == first
    effects.announce(Effects(gone={UUID(first[0]["id"])}), now=clock.now() - timedelta(seconds=5))
    assert redis.cache().zcard(snapshot.GONE) == 2
    assert client.get("/api/feed").json()["posts"] == first[1:]


def test_a_page_sent_before_is_sent_again_only_while_nothing_changed(client, viewer: UUID, short_way_only) -> None:
    def shown() -> tuple[list[str], int]:
        """The posts, and how often Redis had to look into the head for them."""
        before = _asked_redis("hmget")
        found = [post["id"] for post in client.get("/api/feed").json()["posts"]]
        return found, _asked_redis("hmget") - before

    whole, _ = shown()
    assert shown() == (whole, 0)
    redis.cache().zadd(snapshot.GONE, {str(member()): 1.0})
    assert shown() == (whole, 1), "posts travelled again because of another's deletion"
    assert shown() == (whole, 0)
    redis.cache().zadd(snapshot.GONE, {whole[0]: 2.0})
    assert shown() == (whole[1:], 2)
    assert shown() == (whole[1:], 0)
    redis.cache().zadd(snapshot.GONE, {str(member()): 3.0})
    assert shown() == (whole[1:], 2)
    redis.cache().delete(snapshot.GONE)
    assert shown() == (whole, 2)
    name = pipeline.rank(viewer)
    again = client.get("/api/feed").json()
    assert ([post["id"] for post in again["posts"]], again["snapshot"], again["cache_hit"]) == (whole, name, True)


def test_redis_compares_a_head_with_the_same_deletions_once(client, short_way_only) -> None:
    whole = client.get("/api/feed").json()["posts"]
    for deleted in range(2):
        redis.cache().zadd(snapshot.GONE, {str(member()): float(deleted)})
        compared = _asked_redis("zmscore")
        # Each of these pages is new to this process.
        for limit in range(1 + 5 * deleted, 6 + 5 * deleted):
            assert client.get(f"/api/feed?limit={limit}").json()["posts"] == whole[:limit]
        assert _asked_redis("zmscore") - compared == 1
    redis.cache().zadd(snapshot.GONE, {whole[2]["id"]: 2.0})
    for limit in (8, 9):
        assert client.get(f"/api/feed?limit={limit}").json()["posts"] == [*whole[:2], *whole[3 : limit + 1]]


def test_what_the_head_does_not_hold_is_read_from_the_list(client, viewer: UUID, monkeypatch) -> None:
    monkeypatch.setattr(head, "POSTS", 4)
    pipeline.rank(viewer)
    whole = [post["id"] for post in client.get("/api/feed").json()["posts"]]
    assert len(whole) == 10
    monkeypatch.setattr(snapshot, "read", lambda *_, **__: pytest.fail("the list was read"))
    assert [post["id"] for post in client.get("/api/feed?limit=4").json()["posts"]] == whole[:4]
    redis.cache().zadd(snapshot.GONE, {whole[1]: 1.0})
    assert [post["id"] for post in client.get("/api/feed?limit=3").json()["posts"]] == [whole[0], *whole[2:4]]
    monkeypatch.undo()
    page = client.get("/api/feed?limit=4").json()
    assert [post["id"] for post in page["posts"]] == [whole[0], *whole[2:5]]
    rest = client.get("/api/feed", {"cursor": page["cursor"]}).json()
    assert [post["id"] for post in rest["posts"]] == whole[5:]


def test_without_its_head_or_with_an_older_ones_a_feed_is_read_from_the_list(client, viewer: UUID) -> None:
    name = head.key(snapshot.pointer(str(viewer), "ch"))
    assert 0 < redis.cache().ttl(name) <= redis.cache().ttl(snapshot.pointer(str(viewer), "ch"))
    older = redis.cache().hgetall(name)
    there = pipeline.rank(viewer)
    for spoil in (lambda: redis.cache().hset(name, mapping=older), lambda: redis.cache().delete(name)):
        spoil()
        page = client.get("/api/feed").json()
        assert (len(page["posts"]), page["cache_hit"], page["snapshot"]) == (10, True, there)


def test_what_was_invalidated_is_made_anew(client, viewer: UUID) -> None:
    kept = client.get("/api/feed").json()["snapshot"]
    invalidate(viewer)
    page = client.get("/api/feed").json()
    assert page["cache_hit"] is False
    assert page["snapshot"] != kept


def test_an_empty_feed_that_was_made_anew_is_the_new_one(feeds: Feeds) -> None:
    nobody = member()
    client = Client(HTTP_AUTHORIZATION=f"Bearer {issue(nobody, hours=1)}")
    old = [client.get("/api/feed").json() for _ in range(2)]
    assert old[0]["posts"] == []
    assert old[1]["cache_hit"]
    invalidate(nobody)
    made, kept = (client.get("/api/feed").json() for _ in range(2))
    assert kept["cache_hit"]
    assert old[1]["snapshot"] == old[0]["snapshot"] != made["snapshot"] == kept["snapshot"]


def test_what_other_weights_ranked_is_made_anew(client, settings) -> None:
    settings.RANKING_VERSION = "other"
    assert client.get("/api/feed").json()["cache_hit"] is False


def test_a_token_is_believed_no_longer_than_it_says(client, viewer: UUID, short_way_only) -> None:
    ends = int(time.time()) - django_settings.JWT_LEEWAY_SECONDS + 5
    token = jwt.encode({"sub": str(viewer), "exp": ends}, django_settings.JWT_SECRET, algorithm="HS256")
    client = Client(HTTP_AUTHORIZATION=f"Bearer {token}")
    identity.authenticate_header(f"Bearer {token}")
    assert client.get("/api/feed").status_code == 200
    while time.time() < ends + django_settings.JWT_LEEWAY_SECONDS:
        time.sleep(0.1)
    assert client.get("/api/feed").status_code == 401


@pytest.mark.parametrize("known", [True, False])
def test_more_parameters_than_django_reads_are_refused(client, known: bool) -> None:
    caller = client if known else Client()
    assert caller.get("/api/feed?" + "&".join(["limit=1"] * 1001)).status_code == 400


def test_a_foreign_host_is_refused(client) -> None:
    assert client.get("/api/feed", headers={"Host": "elsewhere.example"}).status_code == 400


def test_the_clients_request_id_is_kept(client, short_way_only) -> None:
    assert client.get("/api/feed", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    assert len(client.get("/api/feed", headers={"X-Request-ID": "no good"}).headers["X-Request-ID"]) == 32


def test_it_is_counted_as_every_call(client, short_way_only) -> None:
    def counted() -> list[float]:
        labels = {"view": "feed", "method": "GET"}
        wanted = [
            ("django_http_requests_before_middlewares_total", {}),
            ("django_http_responses_total_by_status_view_method_total", {**labels, "status": "200"}),
            ("django_http_requests_latency_seconds_by_view_method_count", labels),
            ("django_http_responses_body_total_bytes_count", {}),
            ("nova_feed_answers_total", {"algorithm": "ch", "cache": "hit"}),
            ("nova_feed_experiment_answers_total", {"experiment": "none", "cache": "hit"}),
        ]
        return [REGISTRY.get_sample_value(name, sample) or 0 for name, sample in wanted]

    answered("/api/feed", "http", "ch", "").add_up()
    before = counted()
    client.get("/api/feed")
    wait_until(lambda: counted() == [number + 1 for number in before], "the answer in the metrics")


def test_redis_forgets_its_scripts_and_its_clients(client, short_way_only) -> None:
    redis.cache().script_flush()
    assert client.get("/api/feed").status_code == 200
    redis.cache().client_kill_filter(_type="normal", skipme=True)
    assert client.get("/api/feed").status_code == 200


def test_without_redis_the_long_way_answers(client, settings) -> None:
    there = settings.REDIS_CACHE_URL
    settings.REDIS_CACHE_URL = "redis://127.0.0.1:1/0"
    redis.cache.cache_clear()
    page = client.get("/api/feed")
    settings.REDIS_CACHE_URL = there
    redis.cache.cache_clear()
    assert (page.status_code, page.json()["cache_hit"]) == (200, False)
    assert page.headers["RateLimit-Remaining"]
