"""What would disturb every other test (TRUNCATE, ALTER TABLE, a lost slot, a restore), on a stack of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import NAMES
from tests.integration.alone.stack import Alone, alone_in


@pytest.fixture(scope="package")
def _stack() -> Iterator[Alone]:
    with alone_in(Path(f"{os.environ.get('NOVA_TEST_VAR', 'var-test')}-alone")) as made:
        yield made


@pytest.fixture
def alone(_stack: Alone) -> Iterator[Alone]:
    """The stack, whole: a test that failed half-way must not make those behind it fail too."""
    yield _stack
    ended = [name for name in NAMES if not _stack.apps.process(name).alive]
    for name in ended:
        _stack.apps.restart(name)
    if ended:
        _stack.verify("--repair")
