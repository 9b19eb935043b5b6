"""Where the engines of a test run come from, decided before Django reads its settings. Loaded early by pyproject.toml.

- Unit tests alone (`pytest tests/unit`), and tests that start stacks of their own, get addresses where nobody listens.
- With DATABASE_URL, REDIS_URL, CLICKHOUSE_URL and KAFKA_BOOTSTRAP_SERVERS in the environment those engines are used.
- Else one stack is started for the run, in the folder NOVA_TEST_VAR (`var-test`), and stopped after it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.apart import only_own_stacks

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "tests" / "unit"
ENGINES = ("DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL", "KAFKA_BOOTSTRAP_SERVERS")
# All that a stack may find in the environment, and then does not start.
OURS = (*ENGINES, "REDIS_CACHE_URL", "CDC_DATABASE_URL", "KAFKA_CONNECT_URL")
# The environment as it was before we put anything into it.
GIVEN = dict(os.environ)
# Port 1 refuses at once: a unit test that reaches for an engine fails and does not wait.
NOWHERE = {
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "CLICKHOUSE_URL": "clickhouse://default@127.0.0.1:1/nothing",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
SECRETS = {
    "DJANGO_SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests-only-for-tests",
    "JWT_SECRET": "only-for-tests-only-for-tests-only",
}
# A stack of tests ends before it is worth that Java compiles anything thoroughly: two fifths of the work of Kafka and
# Connect went into that.
os.environ.setdefault("NOVA_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

_ending = ExitStack()
_stack: Any = None


def only_unit(paths: Sequence[str]) -> bool:
    """Whether the paths named on pytest's command line (may hold `::`) are all unit tests."""
    chosen = [Path(path.split("::")[0]).resolve() for path in paths]
    return bool(chosen) and all(path.is_relative_to(UNIT) for path in chosen)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    # A wrapper starts before pytest-django's own hook, which imports the settings.
    global _stack
    options = early_config.known_args_namespace
    if only_unit(options.file_or_dir) or only_own_stacks(options.file_or_dir) or options.help or options.collectonly:
        os.environ.update(NOWHERE)
    elif any(not os.environ.get(name) for name in ENGINES):
        from embedded.testing import start_stack

        _stack = _ending.enter_context(start_stack(Path(os.environ.get("NOVA_TEST_VAR", "var-test"))))
        os.environ.update(_stack.env)
    for name, value in SECRETS.items():
        os.environ.setdefault(name, value)
    yield


def pytest_unconfigure() -> None:
    _ending.close()


@pytest.fixture(scope="session")
def stack() -> Any:
    """The `embedded.testing.Stack` of this run, for tests that kill or freeze an engine."""
    if _stack is None:
        pytest.skip("the engines of this run were started by somebody else and are not ours to kill")
    return _stack
