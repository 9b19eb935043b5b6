"""What /metrics tells of the jobs, from where they note it: any web process can say it, whichever worker ran them."""

from collections.abc import Iterator

from jobs import schedule
from jobs.models import JobState, Outcome
from jobs.registry import BY_NAME
from nova import metrics
from nova.metrics import Reading, Shared

_BY_NAME = {value.name: value for value in vars(metrics).values() if isinstance(value, Shared)}


def read() -> Iterator[Reading]:
    """Every value of the `Shared` metrics. Raises `django.db.DatabaseError`."""
    periods = schedule.periods(BY_NAME.values())
    for state in JobState.objects.all():
        yield from _of(state)
        if period := periods.get(state.name):
            yield metrics.JOB_PERIOD_SECONDS, [state.name], period
        for name, labels, value in state.readings:
            if metric := _BY_NAME.get(name):
                yield metric, labels, value


def _of(state: JobState) -> Iterator[Reading]:
    job = [state.name]
    for outcome, runs in (
        ("done", state.runs_done),
        ("retried", state.runs_retried),
        ("failed", state.runs_failed),
        ("skipped", state.runs_skipped),
    ):
        yield metrics.JOB_RUNS, [state.name, outcome], runs
    yield metrics.JOB_SECONDS, job, state.total_seconds
    yield metrics.JOB_ITEMS, job, state.total_items
    yield metrics.JOB_RUNNING, job, float(state.outcome == Outcome.RUNNING)
    if state.seconds is not None:
        yield metrics.JOB_LAST_SECONDS, job, state.seconds
    if state.items is not None:
        yield metrics.JOB_LAST_ITEMS, job, state.items
    if state.done_at:
        yield metrics.JOB_LAST_DONE, job, state.done_at.timestamp()
