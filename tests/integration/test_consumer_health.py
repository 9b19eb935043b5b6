"""A consumer's own port, asked again and again."""

import time
from collections.abc import Iterable, Iterator

import pytest
import urllib3
from django.conf import settings
from django.db import connection
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from embedded.ports import assign
from ingestion import health

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("prepared")]


class Asking(Collector):
    """A metric that is read from PostgreSQL, as those of the background jobs are."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            yield GaugeMetricFamily("nova_test_asked", "Asked of PostgreSQL.", value=cursor.fetchone()[0])


@pytest.fixture
def metric() -> Iterator[None]:
    asking = Asking()
    REGISTRY.register(asking)
    yield
    REGISTRY.unregister(asking)


def test_polling_that_stalls_is_told(tmp_path) -> None:
    port = assign(["health"], tmp_path / "ports.json")["health"]
    polled = [time.monotonic()]
    health.serve("127.0.0.1", port, lambda: polled[0])

    def status() -> int:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", timeout=20, retries=False).status

    assert status() == 200
    polled[0] -= health.STALLED_SECONDS
    assert status() == 503
    polled[0] = time.monotonic()
    assert status() == 200


def test_scrapes_leave_no_connections_behind(metric: None, tmp_path) -> None:
    """Each scrape has a thread of its own; what it borrowed goes back, or the consumer itself would soon get none."""
    port = assign(["health"], tmp_path / "ports.json")["health"]
    health.serve("127.0.0.1", port, time.monotonic)
    most = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    for _ in range(most + 4):
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=20, retries=False)
        assert answer.status == 200
        assert b"nova_test_asked 42.0" in answer.data
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert cursor.fetchone()[0] < most
