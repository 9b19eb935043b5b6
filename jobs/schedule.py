"""When a job is due, by what staff set in the admin (django-celery-beat); the defaults come with a migration."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from celery.exceptions import ImproperlyConfigured
from django_celery_beat.models import PeriodicTask

from jobs.job import Job
from nova import clock

log = logging.getLogger(__name__)
# Of a crontab so many runs are looked at, which need not be evenly apart.
_LOOK_AHEAD = 12
Schedules = dict[str, list[PeriodicTask]]
# What a schedule raises that nobody can use: staff may save the 31st of February, an interval that ends after all time,
# a sunrise without the library that knows it, and headers that are no object.
UNUSABLE = (ArithmeticError, ImproperlyConfigured, TypeError, ValueError)


def of(jobs: Iterable[Job]) -> Schedules:
    """Job's name → its schedules that are switched on; a job without any is missing. One query."""
    names = {job.task: job.name for job in jobs}
    found: Schedules = defaultdict(list)
    for task in PeriodicTask.objects.filter(task__in=names, enabled=True).select_related("interval", "crontab"):
        found[names[task.task]].append(task)
    return dict(found)


def period(job: Job) -> float:
    """Seconds between two runs: the shortest that is set, the job's default without any schedule."""
    return shortest(job, of([job]).get(job.name, ()))


def periods(jobs: Iterable[Job]) -> dict[str, float]:
    """Job's name → `period`, of those that have a schedule."""
    known = {job.name: job for job in jobs}
    return {name: shortest(known[name], tasks) for name, tasks in of(known.values()).items()}


def shortest(job: Job, tasks: Sequence[PeriodicTask]) -> float:
    """Seconds between two runs by these schedules, as they are now."""
    return min((gap for task in tasks if (gap := _between(task))), default=job.period)


def _between(task: PeriodicTask) -> float | None:
    """Seconds between two runs by one schedule, the shortest of the next ones; None for a kind that has none, or one
    that never comes."""
    due = clock.now()
    gaps: list[float] = []
    try:
        if task.interval:
            return float(task.interval.schedule.run_every.total_seconds())
        if not task.crontab:
            return None
        for number in range(_LOOK_AHEAD + 1):
            _, delta, _ = task.crontab.schedule.remaining_delta(due)
            before, due = due, due + delta
            if number:
                gaps.append((due - before).total_seconds())
    except UNUSABLE:
        _never(task)
        return None
    return min(gaps)


def _never(task: PeriodicTask) -> None:
    log.warning("the schedule %r of %s never comes, or cannot be read", task.name, task.task)


def next_due(tasks: Iterable[PeriodicTask], last: datetime | None, now: datetime) -> datetime | None:
    """When the next run is due; None without a schedule.

    last: when a run last began. What beat itself remembers reaches the database minutes later.
    """
    due = []
    for task in tasks:
        since = max((at for at in (last, task.last_run_at) if at), default=task.date_changed)
        try:
            due.append(now + task.schedule.remaining_estimate(since))
        except UNUSABLE:
            _never(task)
    return min(due, default=None)
