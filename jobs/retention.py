"""What is deleted once nobody needs it: old runs of jobs, old results of tasks, old replays of dead letters."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django_celery_results.models import TaskResult

from ingestion.models import Replay
from jobs.job import Run
from jobs.models import JobRun, Outcome

_AT_ONCE = 5000


def old(now: datetime) -> dict[str, QuerySet]:  # type: ignore[type-arg]
    """The rows to delete, by what they are."""
    runs = now - timedelta(days=settings.KEEP_JOB_RUNS_DAYS)
    return {
        "runs of jobs": JobRun.objects.filter(started_at__lt=runs).exclude(outcome=Outcome.RUNNING),
        "task results": TaskResult.objects.filter(date_done__lt=runs),
        "replays": Replay.objects.filter(at__lt=now - timedelta(days=settings.KEEP_REPLAYS_DAYS)),
    }


def delete(now: datetime, run: Run) -> dict[str, int]:
    """Delete in small steps, so that nobody waits for a lock; how many rows of each. Only counts in a dry run."""
    deleted: dict[str, int] = {}
    for kind, rows in old(now).items():
        if run.dry_run:
            deleted[kind] = rows.count()
            continue
        deleted[kind] = 0
        while some := list(rows.values_list("pk", flat=True)[:_AT_ONCE]):
            run.left()
            deleted[kind] += rows.model._default_manager.filter(pk__in=some).delete()[0]
            run.progress(sum(deleted.values()), None)
    return deleted
