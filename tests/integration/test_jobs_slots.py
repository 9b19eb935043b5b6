"""One run a slot of the schedule, and one for each message: cases 61 and 62 from within, on a real PostgreSQL."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from jobs import runner, schedule
from jobs.job import Done, Run
from jobs.models import JobRun, Outcome
from jobs.runner import Skipped
from nova.errors import Transient
from tests.jobs import PERIOD, a_job, by_beat, by_hand, in_thread, state

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_beats_make_one_run() -> None:
    """Case 61: both send a message for the same slot; whichever is first has it."""
    runs = []
    job = a_job(lambda run: runs.append(1) or Done(0, ""))
    start = threading.Barrier(4)

    def beat() -> None:
        start.wait()
        runner.run(job, by_beat())

    for thread in [in_thread(beat) for _ in range(4)]:
        thread.join()
    assert len(runs) == 1
    assert (state(job.name).runs_done, state(job.name).runs_skipped) == (1, 3)


def test_a_slot_is_taken_for_half_a_period() -> None:
    job = a_job()
    runner.run(job, by_beat())
    for ago, goes in ((PERIOD / 2 - 5, False), (PERIOD / 2 + 5, True)):
        JobRun.objects.filter(job=job.name).update(started_at=F("started_at") - timedelta(seconds=ago))
        if goes:
            runner.run(job, by_beat())
        else:
            with pytest.raises(Skipped, match="slot"):
                runner.run(job, by_beat())
            JobRun.objects.filter(job=job.name).update(started_at=F("started_at") + timedelta(seconds=ago))


def test_the_period_is_what_staff_have_set() -> None:
    job = a_job()
    every = IntervalSchedule.objects.create(every=10, period="seconds")
    PeriodicTask.objects.create(name=job.name, task=job.task, interval=every)
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(started_at=F("started_at") - timedelta(seconds=6))
    runner.run(job, by_beat())


def test_staff_may_let_a_nightly_job_run_each_hour() -> None:
    job = replace(a_job(), period=86_400, at=(2, 20))
    hourly = CrontabSchedule.objects.create(minute="0", hour="*", timezone="UTC")
    PeriodicTask.objects.create(name=job.name, task=job.task, crontab=hourly)
    assert schedule.period(job) == 3600
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(started_at=F("started_at") - timedelta(hours=1))
    assert runner.run(job, by_beat()).summary == "did nothing"
    with pytest.raises(Skipped):
        runner.run(job, by_beat())


def test_a_nightly_job_that_was_moved_by_hours_runs_the_same_day() -> None:
    job = replace(a_job(), period=86_400, at=(2, 20))
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(started_at=F("started_at") - timedelta(hours=8))
    assert runner.run(job, by_beat()).summary == "did nothing"


def test_a_person_is_not_bound_to_slots_and_takes_none() -> None:
    job = a_job()
    runner.run(job, by_hand())
    runner.run(job, by_beat())
    runner.run(job, by_hand())
    assert state(job.name).runs_done == 3


def test_a_message_delivered_twice_runs_once() -> None:
    job, ticket = a_job(), by_beat()
    runner.run(job, ticket)
    with pytest.raises(Skipped, match="delivered twice"):
        runner.run(job, ticket)
    assert state(job.name).runs_done == 1


def test_a_retry_delivered_twice_is_made_once() -> None:
    """Case 62: the message of a retry waited longer than the visibility timeout, and two workers have it."""
    tries = []

    def work(run: Run) -> Done:
        tries.append(1)
        raise Transient("not now")

    job, ticket = a_job(work), by_beat()
    for attempt in (0, 1, 2):
        with pytest.raises(Transient):
            runner.run(job, replace(ticket, attempt=attempt))
        with pytest.raises(Skipped, match="delivered twice"):
            runner.run(job, replace(ticket, attempt=attempt))
    assert len(tries) == 3
    (entry,) = JobRun.objects.filter(job=job.name)
    assert (entry.attempt, entry.outcome) == (2, Outcome.RETRIED)


def test_a_retry_whose_work_a_newer_run_has_done_is_not_made() -> None:
    calls = []

    def work(run: Run) -> Done:
        calls.append(1)
        if len(calls) == 1:
            raise Transient("not now")
        return Done(0, "")

    job, early = a_job(work), by_beat()
    with pytest.raises(Transient):
        runner.run(job, early)
    runner.run(job, by_hand(dry_run=True))
    assert runner.run(job, replace(early, attempt=1)).summary == ""
    calls.clear()
    early = by_hand(last_try=False)
    with pytest.raises(Transient):
        runner.run(job, early)
    runner.run(job, by_hand())
    with pytest.raises(Skipped, match="newer"):
        runner.run(job, replace(early, attempt=1))
    assert len(calls) == 2
