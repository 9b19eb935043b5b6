"""When a job is due, by what staff set in the admin (django-celery-beat); the defaults come with a migration."""

from datetime import datetime, timedelta

from django_celery_beat.models import PeriodicTask

from jobs.job import Job


def tasks(job: Job) -> list[PeriodicTask]:
    """The schedules that are switched on for a job."""
    return list(PeriodicTask.objects.filter(task=job.task, enabled=True).select_related("interval", "crontab"))


def period(job: Job) -> float:
    """Seconds between two runs: the shortest interval that is set, the job's default for other kinds of schedule."""
    return _period(job, tasks(job))


def _period(job: Job, found: list[PeriodicTask]) -> float:
    return min((task.interval.schedule.run_every.total_seconds() for task in found if task.interval), default=job.period)


def outlook(job: Job, last: datetime | None, now: datetime) -> tuple[float | None, datetime | None]:
    """The period and when the next run is due; None and None while every schedule of the job is switched off.

    last: when the last scheduled run began. What beat itself remembers reaches the database minutes later.
    """
    found = tasks(job)
    if not found:
        return None, None
    due = []
    for task in found:
        since = max(filter(None, (last, task.last_run_at)), default=task.date_changed)
        left: timedelta = task.schedule.remaining_estimate(since)
        due.append(now + left)
    return _period(job, found), min(due)
