"""Fixtures of the tests of jobs: a plugin, named by the modules that use it, beside `tests.ranking_fixtures`."""

from uuid import uuid4

import pytest
from confluent_kafka.admin import NewTopic

from nova import kafka, redis
from ranking import warming
from tests.feeds import Feeds


@pytest.fixture
def nobody_warmed(feeds: Feeds, settings) -> None:
    redis.cache().delete(warming.MADE)
    settings.WARM_SECONDS = 1


@pytest.fixture
def topic(feeds: Feeds) -> str:
    """A topic of its own to replay to."""
    name = f"test-{uuid4().hex[:8]}"
    kafka.admin().create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name
