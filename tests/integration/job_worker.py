"""Celery as production runs it, with jobs of the tests' own: `celery -A tests.integration.job_worker worker | beat`.

    JOB_TEST_QUEUE        the queue, so that nobody else's messages are taken
    JOB_TEST_VISIBILITY   seconds after which Redis hands out a message again that nobody has acknowledged

Each start of a job's function is counted in Redis under `test-job:{queue}:{job}`.
"""

import os
import signal
import time

import django

django.setup()

from jobs.job import Done, Job, Run  # noqa: E402
from jobs.tasks import register  # noqa: E402
from nova import redis  # noqa: E402
from nova.celery import app  # noqa: E402
from nova.errors import Transient  # noqa: E402

QUEUE = os.environ["JOB_TEST_QUEUE"]
VISIBILITY = int(os.environ.get("JOB_TEST_VISIBILITY", "3600"))
# Several times the visibility timeout.
LONG = 25

app.conf.task_default_queue = QUEUE
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": VISIBILITY,
    # Look for messages to hand out again every 2 s, not every 100.
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
}


def count(name: str) -> int:
    return int(redis.durable().incr(f"test-job:{QUEUE}:{name}"))


def tick(run: Run) -> Done:
    return Done(count("tick"), "ticked")


def slow(run: Run) -> Done:
    started = count("slow")
    time.sleep(LONG)
    return Done(started, "slow, but done")


def flaky(run: Run) -> Done:
    if count("flaky") == 1:
        raise Transient("the first time it fails")
    return Done(1, "the second time it works")


def deadly(run: Run) -> Done:
    """As when the system takes a process away that needs too much memory."""
    count("deadly")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


register(Job(f"test_tick_{QUEUE}", "counts", 2, 60, tick))
register(Job(f"test_slow_{QUEUE}", "takes longer than the visibility timeout", 60, 60, slow))
register(
    Job(f"test_flaky_{QUEUE}", "waits longer than the visibility timeout for its second try", 60, 60, flaky),
    retry_backoff=LONG,
    retry_jitter=False,
)
register(
    Job(f"test_deadly_{QUEUE}", "ends its process", 60, 60, deadly),
    max_retries=1,
    default_retry_delay=1,
)
