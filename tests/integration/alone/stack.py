"""A stack that tests may treat as they like, and the hands and eyes for it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import redis
import urllib3
from clickhouse_driver import Client
from clickhouse_driver.errors import NetworkError

from embedded.testing import start_stack
from tests.apps import ROOT, Apps, deploy, running_apps
from tests.client import Api, wait_until
from tests.integration.commands import Counts, told_by_verify

CONNECTOR = "nova-community"
COPIES = ("posts_cdc", "posts_by_author")
# The engines of the other tests are not to be taken for ours.
_OUTSIDE = (
    "DATABASE_URL",
    "REDIS_URL",
    "REDIS_CACHE_URL",
    "CLICKHOUSE_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_CONNECT_URL",
)
# A feed changes because it was told to, not by its age.
_FEEDS = {"SNAPSHOT_SOFT_SECONDS": "3600", "SNAPSHOT_HARD_SECONDS": "7200"}


class Alone:
    """Hands in PostgreSQL and Kafka Connect, eyes in ClickHouse and Redis, commands as an operator runs them."""

    def __init__(self, stack: Any, apps: Apps) -> None:
        self.stack, self.apps = stack, apps
        self.api = Api(apps.url, stack.env["JWT_SECRET"])
        self.redis = redis.Redis.from_url(stack.env["REDIS_URL"])
        self._where = urlsplit(stack.env["CLICKHOUSE_URL"])
        self._clickhouse = self._client()

    def _client(self) -> Client:
        return Client(self._where.hostname, port=self._where.port, database=self._where.path.strip("/"))

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.env["DATABASE_URL"], autocommit=True) as connection:
            found = connection.execute(statement, values)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What ClickHouse answers; a server that was started anew is connected to anew."""
        try:
            return self._clickhouse.execute(query)
        except (EOFError, OSError, NetworkError):
            self._clickhouse = self._client()
            return self._clickhouse.execute(query)

    def ask(self, query: str) -> Any:
        """The first value of a query in ClickHouse."""
        return self.rows(query)[0][0]

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `manage.py …` to its end; `environment` is laid over the stack's."""
        command = [sys.executable, "manage.py", *arguments]
        env = {**self.stack.env, **environment}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=180)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `manage.py …`; its output is to be read with `communicate`."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.stack.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def verify(self, *arguments: str) -> tuple[int, dict[str, Counts]]:
        """Exit code of `verify_sync` (0: the same, 1: it differs, 2: repaired); how many rows of which copy differ."""
        ran = self.manage("verify_sync", "--patience", "4", *arguments)
        return ran.returncode, told_by_verify(ran.stdout + ran.stderr)

    @contextmanager
    def consumer(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A consumer started by hand (`run_events_consumer --from-offset …`), stopped at the end of the block."""
        process = self.begin(*arguments)
        try:
            yield process
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=60)
            # Shown when the test fails, whatever it fails at.
            print(said)
        assert process.returncode == 0

    def connect(self, method: str, path: str, body: Any = None) -> Any:
        answer = urllib3.request(
            method,
            f"{self.stack.env['KAFKA_CONNECT_URL']}/connectors/{CONNECTOR}{path}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        return json.loads(answer.data) if answer.data else None

    # The community

    def member(self) -> UUID:
        [(found,)] = self.sql(
            "INSERT INTO users (username, password, is_superuser, first_name, last_name, email, is_staff, is_active,"
            " date_joined) VALUES (%s, '!', false, '', '', '', false, true, now()) RETURNING id",
            uuid4().hex,
        )
        return found

    def post(self, author: UUID, text: str | None = None) -> UUID:
        [(found,)] = self.sql(
            "INSERT INTO posts (author_id, text) VALUES (%s, %s) RETURNING id", author, text or f"a post {uuid4().hex}"
        )
        return found

    def like(self, user: UUID, post: UUID) -> None:
        self.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", user, post)

    def likes(self, post: UUID) -> int:
        return int(self.ask(f"SELECT sum(likes) FROM post_counters WHERE post_id = '{post}'"))

    def text(self, post: UUID) -> str:
        """A post's text in its copy; "" when it has none."""
        found = self.rows(f"SELECT text FROM posts_cdc FINAL WHERE id = '{post}'")
        return found[0][0] if found else ""

    def has(self, post: UUID) -> bool:
        copies = (self.ask(f"SELECT count() FROM {copy} FINAL WHERE id = '{post}'") for copy in COPIES)
        return list(copies) == [1, 1]

    def feed(self, member: UUID) -> set[str]:
        return {item["id"] for item in self.api.feed(member)["posts"]}


@contextmanager
def alone_in(var: Path) -> Iterator[Alone]:
    """A stack in the folder `var` with everything deployed, and Nova's own processes."""
    kept = {name: os.environ.pop(name) for name in _OUTSIDE if name in os.environ}
    try:
        _wipe(var)
        with start_stack(var) as stack:
            os.environ.update(kept)
            deploy(stack.env)
            with running_apps(stack.env, var / "apps", overrides=_FEEDS) as apps:
                yield Alone(stack, apps)
    finally:
        os.environ.update(kept)


def _wipe(var: Path) -> None:
    """Delete what an earlier run left: its tables are no longer as the migrations made them.

    Never at the end of a run, whose own process is the supervisor that `down` would end.
    """
    if not (ROOT / var / "stack.json").exists():
        return
    command = [sys.executable, "-m", "embedded", "down", "--wipe"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NOVA_VAR": str(var)}, check=True, capture_output=True)


@contextmanager
def meanwhile(act: Callable[[], None], pause: float = 0.02) -> Iterator[None]:
    """Do `act` again and again in the background; what it raised is raised at the end of the block."""
    over, raised = threading.Event(), []

    def run() -> None:
        try:
            while not over.is_set():
                act()
                time.sleep(pause)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if raised:
        raise raised[0]


def same_soon(alone: Alone) -> None:
    """Wait until the comparison finds no difference."""
    wait_until(lambda: alone.verify()[0] == 0, "the same rows in both databases", 90)
