"""The prepared stores and Nova's own processes, once for all integration tests of a run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps import ROOT, Apps, running_apps
from tests.client import Api
from tests.world import World

# The steps of a deployment, in its order.
STEPS = (["migrate", "--noinput"], ["migrate_clickhouse"], ["migrate_topics"], ["setup_cdc"])


@pytest.fixture(scope="session")
def prepared(stack: Any) -> Any:
    """The stack with every schema, topic and the connector made by the commands that a deployment uses."""
    for step in STEPS:
        done = subprocess.run(
            [sys.executable, "manage.py", *step], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{step[0]} failed:\n{done.stdout}{done.stderr}"
    return stack


@pytest.fixture(scope="session")
def apps(prepared: Any) -> Iterator[Apps]:
    """The web server and both consumers, as in production; a test that ends one starts it again."""
    with running_apps(prepared.env, Path(prepared.var) / "apps") as running:
        yield running


@pytest.fixture
def api(apps: Apps, prepared: Any) -> Api:
    return Api(apps.url, prepared.env["JWT_SECRET"])


@pytest.fixture
def world(api: Api, prepared: Any) -> Iterator[World]:
    made = World(api, prepared.env["DATABASE_URL"])
    yield made
    made.close()
