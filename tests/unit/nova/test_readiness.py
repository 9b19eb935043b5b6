"""Readiness: starting until PostgreSQL answered once, degraded afterwards, never hanging."""

import threading
import time

import pytest

from nova import health
from nova.health import Readiness


def fail() -> None:
    raise OSError("secret-host.example refused")


@pytest.fixture(autouse=True)
def _no_keeping(monkeypatch):
    monkeypatch.setattr(health, "_KEEP_SECONDS", 0.0)


def test_it_starts_waits_for_migrations_and_then_stays_ready():
    state = {"database": "down"}

    def migrated() -> bool:
        if state["database"] == "down":
            fail()
        return state["database"] == "migrated"

    readiness = Readiness({"kafka": lambda: None}, migrated)
    assert readiness.answer()[0] == "starting"
    state["database"] = "empty"
    status, parts = readiness.answer()
    assert status == "starting"
    assert "manage.py migrate" in parts["migrations"]
    state["database"] = "migrated"
    assert readiness.answer() == ("ready", {"kafka": "ok", "migrations": "ok"})
    state["database"] = "down"
    assert readiness.answer()[0] == "ready"


def test_a_part_that_fails_is_degraded_and_tells_no_secrets():
    readiness = Readiness({"postgresql": fail, "kafka": lambda: None}, lambda: True)
    status, parts = readiness.answer()
    assert status == "degraded"
    assert parts == {"postgresql": "down (OSError)", "kafka": "ok", "migrations": "ok"}


def test_a_part_that_hangs_holds_nobody_and_is_not_started_twice(monkeypatch):
    monkeypatch.setattr(health, "_DEADLINE", 0.1)
    over, started = threading.Event(), []

    def hang() -> None:
        started.append(1)
        over.wait(10)

    readiness = Readiness({"clickhouse": hang}, lambda: True)
    began = time.monotonic()
    for _ in range(3):
        assert readiness.answer() == ("degraded", {"clickhouse": "does not answer", "migrations": "ok"})
    assert time.monotonic() - began < 2
    assert started == [1]
    over.set()
    time.sleep(0.05)
    assert readiness.answer()[0] == "ready"


def test_many_probes_in_a_second_cost_one_check(monkeypatch):
    monkeypatch.setattr(health, "_KEEP_SECONDS", 5.0)
    asked = []
    readiness = Readiness({"redis": lambda: asked.append(1)}, lambda: True)
    for _ in range(10):
        readiness.answer()
    assert asked == [1]


def test_one_probe_waits_for_a_part_that_hangs_and_the_others_are_told_what_was_known(monkeypatch):
    """Anyone may ask: eight probes at once held every thread of the web server."""
    monkeypatch.setattr(health, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(health, "_DEADLINE", 0.1)
    over = threading.Event()
    readiness = Readiness({"kafka": lambda: over.wait(60)}, lambda: True)
    known = readiness.answer()
    assert known == ("degraded", {"kafka": "does not answer", "migrations": "ok"})
    monkeypatch.setattr(health, "_DEADLINE", 20.0)
    waiting = threading.Thread(target=readiness.answer)
    waiting.start()
    while not readiness._lock.locked():
        time.sleep(0.001)
    for _ in range(5):
        assert readiness.answer() == known
    assert waiting.is_alive()
    over.set()
    waiting.join()
