"""Nova as its REST clients see it, over a real socket: tokens, JSON, and waiting for what happens elsewhere."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import jwt
import urllib3

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """status: HTTP status; body: the JSON (or {} for none); headers: as sent, case-insensitive."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Api:
    """Calls as any member: a service token acts for them, unless `as_viewer` makes a token of the member's own."""

    def __init__(self, url: str, secret: str, *, timeout: float = 30) -> None:
        self._url, self._secret = url, secret
        self._http = urllib3.PoolManager(maxsize=16, retries=False, timeout=timeout)

    def token(self, subject: UUID, *, service: bool = False) -> str:
        claims: dict[str, Any] = {"sub": str(subject), "exp": int(time.time()) + 3600}
        return jwt.encode({**claims, "scope": "service"} if service else claims, self._secret, algorithm="HS256")

    def call(self, method: str, path: str, member: UUID, body: Any = None, *, as_viewer: bool = False) -> Answer:
        headers = {"Authorization": f"Bearer {self.token(member if as_viewer else UUID(int=0), service=not as_viewer)}"}
        if not as_viewer:
            headers["X-Act-For"] = str(member)
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        answer = self._http.request(method, f"{self._url}{path}", body=data, headers=headers)
        return Answer(answer.status, json.loads(answer.data) if answer.data else {}, answer.headers)

    def get(self, path: str, member: UUID, **options: Any) -> Answer:
        return self.call("GET", path, member, **options)

    def post(self, path: str, member: UUID, body: Any, **options: Any) -> Answer:
        return self.call("POST", path, member, body, **options)

    def delete(self, path: str, member: UUID, **options: Any) -> Answer:
        return self.call("DELETE", path, member, **options)

    def feed(self, member: UUID, query: str = "limit=100") -> dict[str, Any]:
        """The answer of /api/feed, which must be a 200."""
        answer = self.get(f"/api/feed?{query}", member)
        assert answer.status == 200, answer
        return answer.body

    def send(self, member: UUID, *events: Mapping[str, Any]) -> dict[str, Any]:
        """Post events with the member's own token; all must be accepted. The receipt."""
        answer = self.post("/api/events", member, {"events": list(events)}, as_viewer=True)
        assert answer.status == 202, answer
        assert answer.body["rejected"] == 0, answer
        return answer.body


def event(user: UUID, post: UUID, action: str, **fields: Any) -> dict[str, Any]:
    """A valid event of this moment; `fields` replace or add."""
    return {
        "event_id": str(uuid4()),
        "event_time": datetime.now(UTC).isoformat(),
        "user_id": str(user),
        "post_id": str(post),
        "action": action,
        "dwell_ms": 0,
        "device": "web",
        "app_ver": "1.0",
        **fields,
    }


def wait_until(look: Callable[[], T], what: str, seconds: float = 60) -> T:
    """The first true value of `look()`. The bound only ends a test that would never pass; it measures nothing."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}"
        time.sleep(0.05)
    return value
