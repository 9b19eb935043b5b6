"""A Celery task for each job: `jobs.{name}`. Thin: it asks the runner, and says when a run is to be tried again."""

import logging
from typing import Any

from celery import Task
from django.conf import settings

from jobs import runner
from jobs.job import TRANSIENT, Job
from jobs.registry import JOBS
from jobs.runner import Skipped, Ticket
from nova.celery import app

log = logging.getLogger(__name__)
MOST_RETRIES = 5
# The worker's own bound, in case the job does not look at the clock; the second one kills the process.
_SOFT_AFTER, _HARD_AFTER = 5, 10


def register(job: Job, **others: Any) -> Task:
    """Make the job's task known to Celery. others: more options of the task, or others than usual.

    A transient error is tried again after 2, 4, 8 … seconds, at most `JOB_RETRY_SECONDS`, with full jitter. That must
    stay below the visibility timeout: a message that waits longer is handed out a second time. (Then the ticket,
    which is the task's id, has been used already, or the lock is taken.)
    """

    def task(self: Task, by: str = "") -> str:
        request = self.request
        ticket = Ticket(
            number=request.id,
            attempt=request.retries,
            # Set by beat only.
            scheduled=bool(getattr(request, "periodic_task_name", None)),
            by=by,
            last_try=request.retries >= MOST_RETRIES,
        )
        try:
            return runner.run(job, ticket).summary
        except Skipped as reason:
            log.info("%s skipped: %s", job.name, reason)
            return f"skipped: {reason}"

    options: dict[str, Any] = {
        "name": job.task,
        "bind": True,
        "autoretry_for": TRANSIENT,
        "max_retries": MOST_RETRIES,
        "retry_backoff": 2,
        "retry_backoff_max": settings.JOB_RETRY_SECONDS,
        "retry_jitter": True,
        # After a process that was gone before the job was done.
        "default_retry_delay": settings.JOB_RETRY_SECONDS,
        "soft_time_limit": job.bound + _SOFT_AFTER,
        "time_limit": job.bound + _HARD_AFTER,
        # What staff read is in `JobRun`.
        "ignore_result": True,
        **others,
    }
    return app.task(**options)(task)


for _job in JOBS:
    register(_job)
