"""The web process, members and posts for it, and a client of POST /api/events."""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import urllib3

from benchmarks.ingest.bench import Bench, wait_until
from benchmarks.ingest.meters import cpu_seconds
from benchmarks.ingest.visible import quantiles
from embedded.process import Process
from embedded.service import http_ok

BATCH = 100
_SENDERS = 4


@dataclass
class People:
    """Members and posts that stand in PostgreSQL."""

    members: list[UUID]
    posts: list[UUID]
    chance: random.Random = field(default_factory=lambda: random.Random(5))

    @classmethod
    def make(cls, bench: Bench, members: int = 200, posts: int = 200) -> "People":
        with bench.postgres() as connection:
            run = uuid4().hex[:8]
            made = connection.execute(
                "INSERT INTO users (username, display_name, password, is_superuser, first_name, last_name, email,"
                " is_staff, is_active, date_joined) SELECT %s || n, 'Member ' || n, '!', false, '', '', '', false,"
                " true, now() FROM generate_series(1, %s) AS n RETURNING id",
                (f"bench-{run}-", members),
            ).fetchall()
            ids = [row[0] for row in made]
            found = connection.execute(
                "INSERT INTO posts (author_id, text) SELECT author, 'post ' || %s FROM unnest(%s::uuid[]) AS author"
                " LIMIT %s RETURNING id",
                (run, [ids[n % len(ids)] for n in range(posts)], posts),
            ).fetchall()
        return cls(ids, [row[0] for row in found])

    def event(self, identifier: UUID, action: str) -> dict[str, Any]:
        """One event of this moment as a client sends it."""
        return {
            "event_id": str(identifier),
            "event_time": datetime.now(UTC).isoformat(),
            "user_id": str(self.chance.choice(self.members)),
            "post_id": str(self.chance.choice(self.posts)),
            "action": action,
            "dwell_ms": 1200,
            "device": "ios",
            "app_ver": "3.2.1",
        }


class Intake:
    """POST /api/events with a service token, over connections that stay open."""

    def __init__(self, url: str, secret: str, people: People) -> None:
        self.people, self._url = people, f"{url}/api/events"
        claims = {"sub": str(UUID(int=0)), "scope": "service", "exp": int(time.time()) + 86_400}
        token = jwt.encode(claims, secret, algorithm="HS256")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "X-Act-For": str(people.members[0]),
            "Content-Type": "application/json",
        }
        self._http = urllib3.PoolManager(maxsize=16, retries=False, timeout=30)

    def send(self, events: list[dict[str, Any]]) -> None:
        """Return when all are accepted. Raises RuntimeError when one is not."""
        self.send_body(json.dumps({"events": events}).encode(), len(events))

    def send_body(self, body: bytes, count: int) -> None:
        answer = self._http.request("POST", self._url, body=body, headers=self._headers)
        if answer.status != 202 or json.loads(answer.data)["accepted"] != count:
            raise RuntimeError(f"POST /api/events answered {answer.status}: {answer.data.decode()[:500]}")


@contextmanager
def web(
    bench: Bench, database: str, people: People, *, profile: Path | None = None
) -> Iterator[tuple[Intake, Process]]:
    """One web process as the embedded stack runs it, but with one worker; profile: where it leaves where its time went.

    Limits of calls a minute are lifted, since one token stands for everybody here.
    """
    (port,) = bench.ports("web")
    lifted = {"LIMIT_EVENTS": "10000000", **({"BENCH_PROFILE": str(profile)} if profile else {})}
    target = "benchmarks.ingest.profiled:application" if profile else "nova.wsgi:application"
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", target, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--workers", "1", "--blocking-threads", "8", "--no-ws"]
    child = bench.process("web", *command, *options, env=bench.environment(database, **lifted))
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: child.exit_code() is not None or http_ok(f"{url}/livez"), "the web process")
        yield Intake(url, bench.env["JWT_SECRET"], people), child
    finally:
        child.signal(15)
        child.wait(20)
        child.signal_all(9)


def flood(
    bench: Bench, intake: Intake, server: Process, seconds: float, told: Callable[[int], None]
) -> Mapping[str, Any]:
    """Batches of 100 as fast as four clients can: accepted events per second, and CPU µs per event by side.

    The clients' own work (making the events) is done before and not counted.
    """
    kinds = ("impression", "view", "click")
    bodies: list[bytes] = []

    def body() -> bytes:
        events = [intake.people.event(uuid4(), intake.people.chance.choice(kinds)) for _ in range(BATCH)]
        return json.dumps({"events": events}).encode()

    bodies = [body() for _ in range(int(seconds * 300))]
    sides = {"web": server.pid, "Kafka": bench.pids["kafka"], "Redis": bench.pids["redis"]}
    before = {side: cpu_seconds(pid) for side, pid in sides.items()}
    own, began, sent, took = time.process_time(), time.monotonic(), [0], []

    def sender() -> None:
        while bodies and time.monotonic() - began < seconds:
            try:
                one = bodies.pop()
            except IndexError:
                return
            at = time.monotonic()
            intake.send_body(one, BATCH)
            took.append(time.monotonic() - at)
            sent[0] += BATCH
            told(sent[0])

    with ThreadPoolExecutor(_SENDERS) as pool:
        for future in [pool.submit(sender) for _ in range(_SENDERS)]:
            future.result()
    passed, count = time.monotonic() - began, sent[0]
    cpu = {side: (cpu_seconds(pid) - before[side]) / count * 1e6 for side, pid in sides.items()}
    cpu["clients"] = (time.process_time() - own) / count * 1e6
    return {
        "events_per_second": round(count / passed),
        "requests_per_second": round(count / BATCH / passed, 1),
        "request_ms": quantiles(took),
        "cpu_us_per_event": {side: round(value, 1) for side, value in cpu.items()},
        "web_cores": round(cpu["web"] * count / passed / 1e6, 2),
    }
