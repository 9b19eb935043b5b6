"""readyz beside engines that freeze or die: it stays 200, says which, and never hangs."""

import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection
from rest_framework.test import APIClient

from jobs.models import JobState
from nova import health

ENGINES = {"postgres": "postgresql", "clickhouse": "clickhouse", "kafka": "kafka"}


@pytest.fixture
def readyz(transactional_db, monkeypatch):
    call_command("migrate_clickhouse")
    monkeypatch.setattr(health, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(health, "readiness", health.Readiness(health.CHECKS, health.migrated))

    def ask():
        began = time.monotonic()
        answer = APIClient().get("/readyz")
        assert time.monotonic() - began < 4
        return answer.status_code, answer.json()

    return ask


def settled(readyz, wanted: str) -> dict:
    """The parts once the status is the wanted one."""
    for _ in range(30):
        status, body = readyz()
        assert status == 200
        if body["status"] == wanted:
            return body["parts"]
        time.sleep(0.5)
    raise AssertionError(f"still not {wanted}: {body}")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_freezes_is_named(stack, readyz, engine):
    assert set(settled(readyz, "ready").values()) == {"ok"}
    stack.engine(engine).freeze()
    try:
        parts = settled(readyz, "degraded")
        assert {name for name, word in parts.items() if word != "ok"} == {ENGINES[engine]}
    finally:
        stack.engine(engine).thaw()
    settled(readyz, "ready")


def test_metrics_do_not_wait_for_postgresql(stack, client, transactional_db, settings):
    """What the process knows of itself is told; what all share is left out."""
    settings.DATABASE_PATIENCE_SECONDS = 600
    JobState.objects.create(name="some_job")
    told = 'nova_job_runs_total{job="some_job"'
    assert told in client.get("/metrics").text
    stack.engine("postgres").freeze()
    thaw = threading.Timer(20, stack.engine("postgres").thaw)
    thaw.start()
    try:
        answer = client.get("/metrics")
        assert thaw.is_alive()
        assert answer.status_code == 200
        assert "nova_feed_answers" in answer.text
        assert told not in answer.text
    finally:
        thaw.cancel()
        stack.engine("postgres").thaw()
        connection.close()


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_call_waits_for_a_frozen_postgresql_only_so_long(
    stack, client_of, make_member, transactional_db, settings, method
):
    """Each holds a thread of the web server, and kept feeds, which need no PostgreSQL, would wait for one."""
    settings.DATABASE_PATIENCE_SECONDS = 600
    caller = client_of(make_member())
    assert caller.get("/api/posts").status_code == 200
    stack.engine("postgres").freeze()
    thaw = threading.Timer(30, stack.engine("postgres").thaw)
    thaw.start()
    try:
        answer = getattr(caller, method)("/api/posts", {"text": "hello"} if method == "post" else None, format="json")
        assert thaw.is_alive()
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    finally:
        thaw.cancel()
        stack.engine("postgres").thaw()
        connection.close()


def test_a_redis_that_dies_is_named_and_limits_go_on(stack, readyz, client_of, make_member):
    settled(readyz, "ready")
    client = client_of(make_member())
    assert client.get("/api/posts").status_code == 200
    stack.engine("redis").kill()
    try:
        parts = settled(readyz, "degraded")
        assert {name for name, word in parts.items() if word != "ok"} == {"redis", "redis_cache"}
        answer = client.get("/api/posts")
        assert (answer.status_code, answer["RateLimit-Limit"]) == (200, "120")
    finally:
        stack.engine("redis").start()
    settled(readyz, "ready")
