"""Celery's beat over the schedules in PostgreSQL, which are staff's: one that nobody can use must not end it, and with
it every job."""

import logging
from typing import Any

from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from jobs.schedule import UNUSABLE

log = logging.getLogger(__name__)


class Entry(ModelEntry):  # type: ignore[misc]
    """One schedule. Raises `ValueError` when it cannot be used, at which the scheduler leaves it out; one that fails
    only when it is asked whether it is due, beat bears by itself."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        try:
            super().__init__(model, app)
        except UNUSABLE as error:
            log.warning("the schedule %r of %s cannot be used: %s", model.name, model.task, error)
            raise ValueError(str(error)) from error


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    Entry = Entry
