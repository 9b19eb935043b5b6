"""What the feed's calls answer is what the generated OpenAPI schema says: no field less, none more, each as said."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from community.models import Follow
from ranking import breaker, suggestions
from tests.client import event
from tests.feeds import Feeds

pytest_plugins = ["tests.ranking_fixtures"]


def strict(part: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` becomes a type, and a field that is not named is a fault."""
    if isinstance(part, list):
        return [strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {name: strict(one) for name, one in part.items() if name != "nullable"}
    if "properties" in made and isinstance(part.get("type"), str):
        made.setdefault("additionalProperties", False)
    return {"anyOf": [made, {"type": "null"}]} if part.get("nullable") is True else made


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


@pytest.fixture
def check(schema):
    """check(method, path, status, body): raises `ValidationError` when the body is not what the schema says."""
    components = strict(schema["components"]["schemas"])

    def check(method: str, path: str, status: int, body: Any) -> None:
        answers = schema["paths"][path][method]["responses"]
        said = strict(answers[str(status)]["content"]["application/json"]["schema"])
        Draft202012Validator({**said, "components": {"schemas": components}}).validate(body)

    return check


@pytest.fixture
def viewer(feeds: Feeds, make_member) -> UUID:
    """Somebody with a ranked feed, the same in PostgreSQL, something trending, and somebody to follow."""
    viewer, friend, other = (make_member() for _ in range(3))
    for follower, followee in ((viewer, friend), (friend, other)):
        Follow.objects.create(follower_id=follower, followee_id=followee)
        feeds.follow(follower, followee)
    media = [{"url": "https://media.example/1.png", "kind": "image"}]
    posts = [feeds.post(friend, media=media), feeds.post(friend, hours_ago=2), feeds.post(other)]
    feeds.store(*posts)
    feeds.act(viewer, posts[1], "view")
    for post in posts:
        feeds.make_trend(post)
    suggestions.refresh(feeds.now, left=lambda: 120.0)
    return viewer


@pytest.mark.parametrize(
    ("path", "parameters", "holds"),
    [
        ("/api/feed", {}, "posts"),
        ("/api/feed", {"limit": 1, "explain": 1}, "posts"),
        ("/api/feed", {"algo": "time", "limit": 1, "explain": 1}, "posts"),
        ("/api/feed/trending", {}, "posts"),
        ("/api/discover/suggested-users", {}, "users"),
    ],
)
def test_an_answer(viewer: UUID, client_of, check, path: str, parameters: dict, holds: str) -> None:
    answer = client_of(viewer).get(path, parameters)
    assert answer.status_code == 200, answer.content
    assert len(answer.json()[holds]) > 0
    check("get", path, 200, answer.json())


def test_how_many_are_newer(viewer: UUID, client_of, check) -> None:
    client = client_of(viewer)
    said = client.get("/api/feed", {"since": client.get("/api/feed").json()["snapshot"]}).json()
    assert said == {"newer": 0}
    check("get", "/api/feed", 200, said)


@pytest.mark.parametrize("ranked", [True, False])
def test_why(viewer: UUID, feeds: Feeds, client_of, check, settings, ranked: bool) -> None:
    settings.SNAPSHOT_POSTS = 1
    if not ranked:
        breaker.clickhouse.force("open", by="a test", reason="")
    client, codes = client_of(viewer), set()
    for post in feeds.rows:
        said = client.get("/api/feed/why", {"post": str(post)}).json()
        check("get", "/api/feed/why", 200, said)
        codes.add(said["code"])
    assert codes == ({"in_feed", "below_cut"} if ranked else {"in_feed", "below_cut", "not_followed"})


def test_the_receipt_of_events_and_a_refusal(viewer: UUID, feeds: Feeds, client_of, check) -> None:
    call_command("migrate_topics", stdout=StringIO())
    client, post = client_of(viewer), next(iter(feeds.rows))
    good, bad = event(viewer, post, "view"), event(uuid4(), post, "view")
    answer = client.post("/api/events", {"events": [good, good, bad]}, format="json")
    assert (answer.status_code, answer.json()["rejected"]) == (202, 1)
    check("post", "/api/events", 202, answer.json())
    answer = client.get("/api/feed", {"limit": 0})
    assert answer.status_code == 400
    check("get", "/api/feed", 400, answer.json())


def test_the_check_finds_faults(check) -> None:
    """The control: a field too many, one too few, one of another type."""
    now = datetime.now(UTC).isoformat()
    good = {"window": "1h", "generated_at": now, "posts": []}
    check("get", "/api/feed/trending", 200, good)
    for bad in ({**good, "more": 1}, {"window": "1h", "posts": []}, {**good, "posts": {}}):
        with pytest.raises(ValidationError):
            check("get", "/api/feed/trending", 200, bad)
