import threading
from collections import Counter
from random import Random
from typing import Any

import httpx
import pytest

from embedded import phrases
from embedded.simulation import Api, Community, Ended, Member

MEMBERS = [{"id": f"00000000-0000-7000-8000-00000000000{n}", "username": f"m{n}"} for n in range(5)]
POSTS = [{"id": f"00000000-0000-7000-8000-0000000001{n:02}"} for n in range(20)]


class Recorder:
    """Stands in for the API: answers, remembers, and fails as often as it was told to."""

    def __init__(self, *failures: int) -> None:
        self.calls: list[tuple[str, str, str | None, Any]] = []
        self.failures = list(failures)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.failures:
            status = self.failures.pop(0)
            if status == 0:
                raise httpx.ConnectError("refused")
            return httpx.Response(status, headers={"Retry-After": "0"})
        body = httpx.Response(200, content=request.content).json() if request.content else None
        self.calls.append((request.method, request.url.path, request.headers.get("X-Act-For"), body))
        match request.url.path:
            case "/api/members":
                return httpx.Response(200, json={"items": MEMBERS})
            case "/api/feed":
                return httpx.Response(200, json={"posts": POSTS})
        return httpx.Response(204 if request.method == "DELETE" else 201, json={} if request.method == "POST" else None)


def api_for(recorder: Recorder, end: threading.Event | None = None) -> Api:
    api = Api("http://api", lambda: "token", end or threading.Event())
    api._client = httpx.Client(base_url="http://api", transport=httpx.MockTransport(recorder))
    return api


def community_of(recorder: Recorder, seed: int = 1) -> Community:
    community = Community(api_for(recorder), Random(seed))
    community.meet()
    return community


def test_members_act_for_themselves_in_every_way() -> None:
    recorder = Recorder()
    community = community_of(recorder)
    for _ in range(400):
        community.act()
    assert {"posts", "follows", "unfollows", "likes", "unlikes", "comments"} <= set(community.done)
    writes = [call for call in recorder.calls if call[0] != "GET"]
    assert all(member in {entry["id"] for entry in MEMBERS} for _, _, member, _ in writes)


def test_the_same_seed_makes_the_same_choices() -> None:
    def story(seed: int) -> list[Any]:
        recorder = Recorder()
        community = community_of(recorder, seed)
        for _ in range(60):
            community.act()
        return recorder.calls

    assert story(3) == story(3) != story(4)


def test_events_come_in_batches_with_fresh_ids_for_posts_that_were_shown() -> None:
    recorder = Recorder()
    community = community_of(recorder)
    for _ in range(10):
        community.scroll(20)
    batches = [body["events"] for _, path, _, body in recorder.calls if path == "/api/events"]
    events = [event for batch in batches for event in batch]
    assert all(len(batch) <= 20 for batch in batches)
    assert len({event["event_id"] for event in events}) == len(events) == community.done["events"] > 150
    assert {event["post_id"] for event in events} <= {post["id"] for post in POSTS}
    assert Counter(event["action"] for event in events).most_common(1)[0][0] == "impression"
    assert all(("dwell_ms" in event) == (event["action"] == "view") for event in events)


def test_an_api_that_is_away_is_waited_for_and_an_old_token_renewed() -> None:
    recorder = Recorder(0, 503, 429, 401)
    assert api_for(recorder).call("GET", "/api/members") == {"items": MEMBERS}


def test_a_refused_call_is_counted_and_not_repeated() -> None:
    recorder = Recorder(404)
    api = api_for(recorder)
    assert api.call("POST", "/api/likes", body={}) is None
    assert api.refused == {"POST /api/likes 404": 1}
    assert recorder.calls == []


def test_waiting_ends_when_asked() -> None:
    end = threading.Event()
    end.set()
    with pytest.raises(Ended):
        api_for(Recorder(), end).call("GET", "/api/members")


def test_members_keep_their_nature() -> None:
    first, second = Member.of(MEMBERS[0]["id"]), Member.of(MEMBERS[0]["id"])
    assert (first.tongue, first.eagerness) == (second.tongue, second.eagerness)


@pytest.mark.parametrize("tongue", set(phrases.TONGUES), ids=lambda tongue: tongue.comments[0])
def test_every_template_can_be_filled(tongue: phrases.Tongue) -> None:
    random = Random(0)
    said = {phrases.post(tongue, random) for _ in range(200)}
    assert len(said) > 10
    assert not any("{" in text for text in said)
