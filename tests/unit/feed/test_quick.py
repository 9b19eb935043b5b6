"""What the short way leaves to Django, without any engine."""

from io import BytesIO
from typing import Any

import pytest

from feed.api import feed
from feed.quick import QuickFeed
from nova import identity
from nova.identity import Viewer
from ranking import pipeline


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """taken(query) → whether the short way asked for the feed of one whose token is known."""
    asked: list[int] = []
    monkeypatch.setattr(identity, "known", lambda _: Viewer(identity.UUID(int=1), is_service=True))
    monkeypatch.setattr(pipeline, "ready", lambda *_, **__: asked.append(1))

    def take(query: str) -> bool:
        asked.clear()
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/api/feed",
            "QUERY_STRING": query,
            "HTTP_HOST": "localhost",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
        }
        assert QuickFeed(lambda *_: [b"long"])(environ, lambda *_: None) == [b"long"]
        return bool(asked)

    return take


def test_a_nul_in_the_query_is_left_to_django_which_refuses_it(taken: Any) -> None:
    assert taken("limit=5&app=1")
    assert not taken("limit=5&app=%00")


def test_only_short_queries_are_remembered() -> None:
    """A thousand that a client made up, each as long as an address may be, would be 64 MB of each process."""
    before = feed._often.cache_info().currsize
    assert feed.asked_for(f"limit=5&app={'x' * 60_000}")["limit"] == 5
    assert feed._often.cache_info().currsize == before
    assert feed.asked_for("limit=5&app=x") is feed.asked_for("limit=5&app=x")
