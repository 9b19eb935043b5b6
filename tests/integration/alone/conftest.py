"""What would disturb every other test (TRUNCATE, ALTER TABLE, a lost slot, a restore), on a stack of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alone.stack import Alone, alone_in


@pytest.fixture(scope="package")
def alone() -> Iterator[Alone]:
    with alone_in(Path(f"{os.environ.get('NOVA_TEST_VAR', 'var-test')}-alone")) as made:
        yield made
