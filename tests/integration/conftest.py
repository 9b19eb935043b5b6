"""The prepared stores and Nova's own processes, once for all integration tests of a run."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from ingestion import ledger
from ingestion.events import EventsSink
from ingestion.ledger import Partition, Pending
from tests.apps import NAMES, Apps, deploy, running_apps
from tests.client import Api
from tests.integration.ingest import Crowd, Tail
from tests.world import World


@pytest.fixture(scope="session")
def prepared(stack: Any) -> Any:
    """The stack with every schema, topic and the connector made by the commands that a deployment uses."""
    deploy(os.environ)
    return stack


@pytest.fixture(scope="session")
def apps(prepared: Any) -> Iterator[Apps]:
    """The web server and both consumers, as in production; a test that ends one starts it again."""
    with running_apps(prepared.env, Path(prepared.var) / "apps") as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """To a failure belongs what the parts were doing: a change that never came may have stopped anywhere."""
    report = yield
    found = getattr(item, "funcargs", {})
    if report.failed and "apps" in found and "prepared" in found:
        report.sections.append(("the parts", _doing(found["apps"], found["prepared"])))
    return report


def _doing(apps: Apps, stack: Any) -> str:
    lines = []
    for name in NAMES:
        app = apps.process(name)
        lines += [f"{name} {'runs' if app.alive else 'has ended'}; its last words:", app.last_words(5)]
    try:
        url = f"{stack.env['KAFKA_CONNECT_URL']}/connectors?expand=status"
        lines.append(urllib3.request("GET", url, timeout=5, retries=False).data.decode()[:2000])
    except urllib3.exceptions.HTTPError as error:
        lines.append(f"Kafka Connect does not answer: {error}")
    return "\n".join(lines)


@pytest.fixture
def api(apps: Apps, prepared: Any) -> Api:
    return Api(apps.url, prepared.env["JWT_SECRET"])


@pytest.fixture
def world(api: Api, prepared: Any) -> Iterator[World]:
    made = World(api, prepared.env["DATABASE_URL"])
    yield made
    made.close()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def tail(apps: Apps, world: World) -> Iterator[Tail]:
    looking = Tail(world)
    yield looking
    looking.close()


@pytest.fixture
def stopped(apps: Apps, tail: Tail) -> Iterator[None]:
    """The events consumer has read all there was, and is stopped for the time of the test."""
    tail.wait()
    apps.process("events").stop()
    yield
    if not apps.process("events").alive:
        apps.restart("events")


@pytest.fixture
def sink() -> EventsSink:
    return EventsSink()


@pytest.fixture
def claim() -> Callable[[], tuple[Partition, Pending | None]]:
    """claim() → a new owner of the one partition of a topic that only this test knows."""
    topic_id = uuid4().hex

    def take() -> tuple[Partition, Pending | None]:
        return ledger.claim("events", "events", topic_id, 0, low=0, high=10**9)

    return take
