"""What must fit together between jobs, their tasks, their default schedules and the broker's settings."""

from importlib import import_module

import pytest
from django.conf import settings

from jobs.job import TRANSIENT
from jobs.registry import BY_NAME, JOBS
from jobs.tasks import MOST_RETRIES
from nova.celery import app

schedules = import_module("jobs.migrations.0002_schedules")
VISIBILITY = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]


def test_every_job_has_a_default_schedule_with_its_own_period():
    assert {name: seconds for name, (_, seconds) in schedules.EVERY.items()} == {
        job.name: job.period for job in JOBS if job.at is None
    }
    assert {name: (hour, minute) for name, (_, hour, minute) in schedules.NIGHTLY.items()} == {
        job.name: job.at for job in JOBS if job.at is not None
    }


def test_names_are_unique():
    assert len(BY_NAME) == len(JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_is_a_task_that_is_bounded_within_its_period_and_the_visibility_timeout(job):
    task = app.tasks[job.task]
    assert job.bound <= job.period
    assert job.bound < task.soft_time_limit < task.time_limit < VISIBILITY


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_no_try_waits_as_long_as_the_visibility_timeout(job):
    """Case 62: a message that waits longer than that is handed to a second worker."""
    task = app.tasks[job.task]
    assert task.max_retries == MOST_RETRIES
    assert task.retry_backoff_max < VISIBILITY


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_what_passes_is_tried_again_later_and_later_and_not_by_all_at_once(job):
    task = app.tasks[job.task]
    assert task.autoretry_for == TRANSIENT
    assert (task.max_retries, task.retry_backoff, task.retry_jitter) == (5, 2, True)
    assert task.retry_backoff_max == settings.JOB_RETRY_SECONDS == 60
