"""One run of a job, from the question whether it may run at all to the note of what it did.

    lock (another run goes on? then not) ── claim (somebody else had this slot? then not) ── work ── note

Both answers are given under the lock, so two beats, two workers or a message delivered twice make one run.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from jobs import lock, schedule
from jobs.job import TOO_LONG, TRANSIENT, Done, Job, Run
from jobs.models import JobRun, JobState, Outcome
from nova import clock

log = logging.getLogger(__name__)
# A slot is no longer than this, however seldom a job runs: one that staff move by hours runs on the same day.
_SLOT_SECONDS = 3600
_OPEN = (Outcome.RUNNING, Outcome.RETRIED)


@dataclass(frozen=True)
class Ticket:
    """What a run is asked by. number: unique for a run, the same for each try; attempt: of the try, from 0 on;
    last_try: no more will follow."""

    number: str
    attempt: int = 0
    scheduled: bool = False
    by: str = ""
    dry_run: bool = False
    last_try: bool = True


class Skipped(Exception):
    """The run was not needed; the text says why."""


def run(job: Job, ticket: Ticket, progress: Callable[[int, int | None], None] = lambda done, of: None) -> Done:
    """Run the job now. Raises `Skipped`, or what its function raises; both are noted."""
    with lock.held(job.name) as ours:
        if not ours:
            _count_skipped(job)
            raise Skipped("a run of this job is going on")
        entry = _claim(job, ticket, clock.now())
        memory = JobState.objects.values_list("memory", flat=True).get(name=job.name)
        try:
            done = job.work(Run(ticket.dry_run, monotonic() + job.bound, memory, progress))
        except BaseException as error:
            _note_failure(job, entry, error, will_retry=isinstance(error, TRANSIENT) and not ticket.last_try)
            raise
        _note_done(job, entry, done)
        return done


def _claim(job: Job, ticket: Ticket, now: datetime) -> JobRun:
    """The entry of a run that may go on. Raises `Skipped`. Only with the lock held."""
    with transaction.atomic():
        JobState.objects.get_or_create(name=job.name)
        _bury(job, ticket, now)
        entry = JobRun.objects.filter(ticket=ticket.number).first()
        reason = _not_needed(job, ticket, entry, now)
        if not reason:
            entry = _begun(job, ticket, entry, now)
    if reason or entry is None:
        _count_skipped(job)
        raise Skipped(reason)
    return entry


def _bury(job: Job, ticket: Ticket, now: datetime) -> None:
    """The lock was free, so whoever still seems to run is gone."""
    gone = JobRun.objects.filter(job=job.name, outcome=Outcome.RUNNING).exclude(ticket=ticket.number)
    real = gone.filter(dry_run=False).count()
    gone.update(outcome=Outcome.DIED, ended_at=now, summary="its process was gone before it was done")
    if real:
        JobState.objects.filter(name=job.name).update(runs_failed=F("runs_failed") + real, outcome=Outcome.DIED)


def _begun(job: Job, ticket: Ticket, entry: JobRun | None, now: datetime) -> JobRun:
    # The lock was free: of a try that still seems to run the process is gone, and this is the next one.
    gone = int(entry is not None and entry.outcome == Outcome.RUNNING)
    if not ticket.dry_run:
        JobState.objects.filter(name=job.name).update(
            started_at=now, outcome=Outcome.RUNNING, runs_retried=F("runs_retried") + gone
        )
    if entry:
        entry.attempt, entry.outcome, entry.started_at, entry.ended_at = ticket.attempt, Outcome.RUNNING, now, None
        entry.save(update_fields=["attempt", "outcome", "started_at", "ended_at"])
        return entry
    return JobRun.objects.create(
        job=job.name,
        ticket=ticket.number,
        attempt=ticket.attempt,
        scheduled=ticket.scheduled,
        by=ticket.by,
        dry_run=ticket.dry_run,
        started_at=now,
    )


def _not_needed(job: Job, ticket: Ticket, entry: JobRun | None, now: datetime) -> str:
    """Why this run is not needed any more; "" when it is."""
    real = JobRun.objects.filter(job=job.name, dry_run=False).exclude(ticket=ticket.number)
    if entry:
        tried = entry.outcome == Outcome.RETRIED and ticket.attempt <= entry.attempt
        if tried or entry.outcome not in _OPEN:
            return "this try has ended already: its message was delivered twice"
        newer = real.filter(started_at__gt=entry.started_at, outcome=Outcome.DONE).exists()
        return "a newer run has done its work" if newer else ""
    if ticket.scheduled:
        slot = timedelta(seconds=min(schedule.period(job) / 2, _SLOT_SECONDS))
        if real.filter(scheduled=True, started_at__gt=now - slot).exists():
            return "this slot of the schedule was taken already"
    return ""


def _count_skipped(job: Job) -> None:
    JobState.objects.get_or_create(name=job.name)
    JobState.objects.filter(name=job.name).update(runs_skipped=F("runs_skipped") + 1)


def _note_done(job: Job, entry: JobRun, done: Done) -> None:
    now = clock.now()
    seconds = (now - entry.started_at).total_seconds()
    said = {"outcome": Outcome.DONE, "ended_at": now, "items": done.items, "summary": done.summary}
    changes = {
        **said,
        "done_at": now,
        "seconds": seconds,
        "runs_done": F("runs_done") + 1,
        "total_seconds": F("total_seconds") + seconds,
        "total_items": F("total_items") + done.items,
    }
    if done.memory is not None:
        changes["memory"] = dict(done.memory)
    changes["readings"] = [[metric.name, list(labels), value] for metric, labels, value in done.readings]
    with transaction.atomic():
        _end(job, entry, said, changes)
    log.info("%s took %.2f s: %s", job.name, seconds, done.summary[:200])


def _note_failure(job: Job, entry: JobRun, error: BaseException, *, will_retry: bool) -> None:
    """Write down how it failed, if PostgreSQL lets us; what raises here would hide the failure itself."""
    now = clock.now()
    seconds = (now - entry.started_at).total_seconds()
    summary = _reason(job, error)[:2000]
    outcome = Outcome.RETRIED if will_retry else Outcome.FAILED
    count = "runs_retried" if will_retry else "runs_failed"
    # It may be the connection that failed.
    connection.close_if_unusable_or_obsolete()
    said = {"outcome": outcome, "ended_at": now, "summary": summary}
    changes = {**said, "seconds": seconds, "total_seconds": F("total_seconds") + seconds, count: F(count) + 1}
    try:
        with transaction.atomic():
            _end(job, entry, said, changes)
    except Exception:
        log.warning("the failure of %s could not be noted", job.name, exc_info=True)
    log.warning("%s %s after %.2f s: %s", job.name, outcome, seconds, summary)


def _end(job: Job, entry: JobRun, said: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Write down how a run ended, `said`, and what that changes in what is known of its job. Of a dry run nothing: it
    did nothing. Nor of one that was taken for dead: its lock was lost with its connection, and another has begun since,
    which knows better."""
    if not JobRun.objects.filter(pk=entry.pk, outcome=Outcome.RUNNING).update(**said):
        log.warning("%s was taken for dead before it had ended", job.name)
    elif not entry.dry_run:
        JobState.objects.filter(name=job.name).update(**changes)


def _reason(job: Job, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "it was stopped before it was done"
    said = f"it took longer than its bound of {job.bound} s" if isinstance(error, TOO_LONG) else str(error)
    return f"{type(error).__name__}: {said}"
