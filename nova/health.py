"""Is the process up, may it have traffic, and which of its parts answer.

`/readyz` says no only until PostgreSQL answered once with every migration applied. What fails later is reported and
stays 200: a feed can still be served without it, and taking every web process out of rotation would end that.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

import psycopg
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from nova import clickhouse, kafka, redis
from nova.rest import json_response

# All parts together get this long, whatever they do.
_DEADLINE = 2.5
_ONE_PART = 2
# Many probes in one second cost one check.
_KEEP_SECONDS = 1.0


def _postgresql() -> None:
    # A connection of its own: a pool that is used up says nothing about the server.
    settings = connection.get_connection_params()
    settings.pop("pool", None)
    settings["connect_timeout"] = _ONE_PART
    with psycopg.connect(**settings) as fresh:
        fresh.execute("SELECT 1")


def _clickhouse() -> None:
    clickhouse.query("SELECT 1", timeout=_ONE_PART)


def _kafka() -> None:
    kafka.admin().list_topics(timeout=_ONE_PART)


CHECKS: dict[str, Callable[[], object]] = {
    "postgresql": _postgresql,
    "redis": lambda: redis.durable().ping(),
    "redis_cache": lambda: redis.cache().ping(),
    "clickhouse": _clickhouse,
    "kafka": _kafka,
}


def migrated() -> bool:
    """Whether PostgreSQL has every migration of this code. Closes the connection it used."""
    try:
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
    finally:
        connection.close()


class Readiness:
    """Checks the parts side by side. A check that hangs is asked about again, never started a second time."""

    def __init__(self, checks: dict[str, Callable[[], object]], migrated: Callable[[], bool]) -> None:
        self._checks: dict[str, Callable[[], object]] = {
            **checks,
            "migrations": partial(self._check_migrations, migrated),
        }
        self._pool = ThreadPoolExecutor(len(self._checks), thread_name_prefix="readyz")
        self._lock = threading.Lock()
        self._running: dict[str, Future[object]] = {}
        self._known: dict[str, str] = {}
        self._known_at = float("-inf")
        self._ready = False

    def _check_migrations(self, migrated: Callable[[], bool]) -> None:
        if not self._ready:
            if not migrated():
                raise RuntimeError("not all applied; run manage.py migrate")
            self._ready = True

    def parts(self) -> dict[str, str]:
        """Part → `ok`, or a word on what is wrong. Takes at most `_DEADLINE` seconds."""
        # While one asks, the others are told what was known before: anyone may ask, and each holds a thread.
        if not self._lock.acquire(blocking=not self._known):
            return self._known
        try:
            if time.monotonic() - self._known_at >= _KEEP_SECONDS:
                self._ask()
            return self._known
        finally:
            self._lock.release()

    def _ask(self) -> None:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = self._pool.submit(check)
        wait(self._running.values(), _DEADLINE)
        self._known = {name: _word(future) for name, future in self._running.items()}
        self._running = {name: future for name, future in self._running.items() if not future.done()}
        self._known_at = time.monotonic()

    def answer(self) -> tuple[str, dict[str, str]]:
        """`ready`, `degraded` or `starting`, and the parts."""
        parts = self.parts()
        if not self._ready:
            return "starting", parts
        return ("ready" if all(word == "ok" for word in parts.values()) else "degraded"), parts


def _word(future: Future[object]) -> str:
    if not future.done():
        return "does not answer"
    error = future.exception()
    # Only the kind of error: its text may name hosts, and anyone may ask.
    return "ok" if error is None else str(error) if type(error) is RuntimeError else f"down ({type(error).__name__})"


readiness = Readiness(CHECKS, migrated)


@never_cache
def livez(request: HttpRequest) -> HttpResponse:
    """GET /livez: this process answers. It asks nobody."""
    return json_response({"status": "alive"})


@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """GET /readyz: 503 while starting, then 200 for good; the body says which parts do not answer."""
    status, parts = readiness.answer()
    return json_response({"status": status, "parts": parts}, 503 if status == "starting" else 200)
