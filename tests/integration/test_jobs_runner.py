"""One run at a time, one run a slot, and a true note of each: cases 61 and 62 from within, on a real PostgreSQL."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs import lock, runner, schedule
from jobs.job import Done, Job, OutOfTime, Run
from jobs.models import JobRun, JobState, Outcome
from jobs.runner import Skipped, Ticket
from nova.errors import Permanent, Transient
from tests.apps import ROOT
from tests.client import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PERIOD = 60


def do_nothing(run: Run) -> Done:
    return Done(1, "did nothing")


def a_job(work: Callable[[Run], Done] = do_nothing) -> Job:
    return Job(f"test-{uuid4().hex[:8]}", "for a test", PERIOD, 30, work)


def by_hand(**fields) -> Ticket:
    return Ticket(number=str(uuid4()), **fields)


def by_beat(**fields) -> Ticket:
    return by_hand(scheduled=True, last_try=False, **fields)


def in_thread(call: Callable[[], object]) -> threading.Thread:
    def body() -> None:
        try:
            call()
        except Skipped:
            pass
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    return thread


@contextmanager
def going_on(job: Job) -> Iterator[None]:
    """While in the block, a run of `job` is going on in another thread."""
    begun, may_end = threading.Event(), threading.Event()

    def work(run: Run) -> Done:
        begun.set()
        assert may_end.wait(60)
        return Done(0, "ended")

    thread = in_thread(lambda: runner.run(replace(job, work=work), by_hand()))
    assert begun.wait(60)
    try:
        yield
    finally:
        may_end.set()
        thread.join()


def state(job: Job) -> JobState:
    return JobState.objects.get(name=job.name)


def test_a_run_is_noted() -> None:
    job = a_job(lambda run: Done(7, "made seven", memory={"at": 7}))
    runner.run(job, by_hand(by="anna"))
    entry, now = JobRun.objects.get(job=job.name), state(job)
    assert (entry.outcome, entry.items, entry.summary, entry.by) == (Outcome.DONE, 7, "made seven", "anna")
    assert entry.seconds is not None
    assert (now.outcome, now.items, now.summary, now.memory) == (Outcome.DONE, 7, "made seven", {"at": 7})
    assert (now.runs_done, now.total_items) == (1, 7)
    assert now.started_at <= now.ended_at == now.done_at


def test_a_job_remembers_from_one_good_run_to_the_next() -> None:
    seen = []

    def work(run: Run) -> Done:
        seen.append(dict(run.memory))
        if len(seen) == 2:
            raise Permanent("no")
        return Done(0, "", memory={"runs": len(seen)})

    job = a_job(work)
    runner.run(job, by_hand())
    with pytest.raises(Permanent):
        runner.run(job, by_hand())
    runner.run(job, by_hand())
    assert seen == [{}, {"runs": 1}, {"runs": 1}]


def test_a_run_that_is_going_on_is_not_started_again() -> None:
    job = a_job()
    with going_on(job):
        with pytest.raises(Skipped, match="going on"):
            runner.run(job, by_hand())
        runner.run(a_job(), by_hand())
    assert [entry.summary for entry in JobRun.objects.filter(job=job.name)] == ["ended"]
    assert state(job).runs_skipped == 1
    runner.run(job, by_hand())


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
    assert (state(job).runs_done, state(job).runs_skipped) == (1, 3)


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
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    job = a_job()
    every = IntervalSchedule.objects.create(every=10, period="seconds")
    PeriodicTask.objects.create(name=job.name, task=job.task, interval=every)
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(started_at=F("started_at") - timedelta(seconds=6))
    runner.run(job, by_beat())


def test_a_person_is_not_bound_to_slots_and_takes_none() -> None:
    job = a_job()
    runner.run(job, by_hand())
    runner.run(job, by_beat())
    runner.run(job, by_hand())
    assert state(job).runs_done == 3


def test_a_message_delivered_twice_runs_once() -> None:
    job, ticket = a_job(), by_beat()
    runner.run(job, ticket)
    with pytest.raises(Skipped, match="delivered twice"):
        runner.run(job, ticket)
    assert state(job).runs_done == 1


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


@pytest.mark.parametrize(
    ("error", "last_try", "outcome"),
    [
        (Transient("busy"), False, Outcome.RETRIED),
        (Transient("busy"), True, Outcome.FAILED),
        (OperationalError("gone"), False, Outcome.RETRIED),
        (Permanent("wrong"), False, Outcome.FAILED),
        (ValueError("a bug"), False, Outcome.FAILED),
        (OutOfTime("too late"), False, Outcome.FAILED),
    ],
)
def test_a_failure_is_noted_with_its_reason(error: Exception, last_try: bool, outcome: Outcome) -> None:
    def work(run: Run) -> Done:
        raise error

    job = a_job(work)
    with pytest.raises(type(error)):
        runner.run(job, replace(by_beat(), last_try=last_try))
    entry, now = JobRun.objects.get(job=job.name), state(job)
    assert entry.outcome == now.outcome == outcome
    assert type(error).__name__ in now.summary
    assert (now.runs_retried, now.runs_failed) == ((1, 0) if outcome == Outcome.RETRIED else (0, 1))
    assert now.done_at is None
    if isinstance(error, OutOfTime):
        assert "30 s" in now.summary


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_a_run_that_was_stopped_is_noted(stop: BaseException) -> None:
    def work(run: Run) -> Done:
        raise stop

    job = a_job(work)
    with pytest.raises(type(stop)):
        runner.run(job, by_hand())
    assert (state(job).outcome, state(job).summary) == (Outcome.FAILED, "it was stopped before it was done")


def test_a_dry_run_takes_no_slot_and_leaves_the_memory() -> None:
    job = a_job(lambda run: Done(5, "would do five", memory={"dry": run.dry_run}))
    runner.run(job, by_hand(dry_run=True))
    assert (state(job).memory, state(job).runs_done, state(job).total_items) == ({}, 0, 0)
    runner.run(job, by_beat())
    assert state(job).memory == {"dry": False}


def test_the_lock_is_free_as_soon_as_its_block_has_ended() -> None:
    """Even when PostgreSQL is slow to notice that a connection is closed."""
    with lock.held("slow to let go"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE locktype = 'advisory' AND classid = %s AND datname = current_database()",
                [lock._CLASS],
            )
            ((holder,),) = cursor.fetchall()
        os.kill(holder, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, [holder, signal.SIGCONT]).start()
    with lock.held("slow to let go") as ours:
        assert ours


def test_the_lock_of_a_killed_process_is_free_again() -> None:
    """With a connection pool in the way: the lock has its own connection, and that dies with the process."""
    job = a_job()
    program = (
        "import django, sys, time\ndjango.setup()\nfrom jobs import lock\n"
        f"with lock.held({job.name!r}) as ours:\n    print(ours, flush=True)\n    time.sleep(600)\n"
    )
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "nova.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "True\n"
    with pytest.raises(Skipped, match="going on"):
        runner.run(job, by_hand())
    child.kill()
    child.wait()

    def free() -> bool:
        with lock.held(job.name) as ours:
            return ours

    wait_until(free, "the lock is free")
    runner.run(job, by_hand())


def test_a_run_whose_process_died_is_noted_by_the_next() -> None:
    job = a_job()
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(
        outcome=Outcome.RUNNING, ended_at=None, started_at=F("started_at") - timedelta(seconds=PERIOD)
    )
    runner.run(job, by_beat())
    assert sorted(JobRun.objects.filter(job=job.name).values_list("outcome", flat=True)) == ["died", "done"]
    assert state(job).runs_failed == 1


def test_a_message_whose_worker_died_is_taken_up_by_another() -> None:
    """`acks_late`: Redis hands the message out again, with the same number."""
    job, ticket = a_job(), by_beat()
    runner.run(job, ticket)
    JobRun.objects.filter(job=job.name).update(outcome=Outcome.RUNNING, ended_at=None)
    runner.run(job, ticket)
    (entry,) = JobRun.objects.filter(job=job.name)
    assert entry.outcome == Outcome.DONE


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


def test_a_dry_run_hides_no_failure() -> None:
    def work(run: Run) -> Done:
        if run.dry_run:
            return Done(1, "would do one")
        raise Permanent("ClickHouse refuses")

    job = a_job(work)
    with pytest.raises(Permanent):
        runner.run(job, by_hand())
    before = JobState.objects.values().get(name=job.name)
    runner.run(job, by_hand(dry_run=True))
    assert JobState.objects.values().get(name=job.name) == before


def test_a_dry_run_that_fails_is_no_failed_run() -> None:
    def work(run: Run) -> Done:
        raise Permanent("no")

    job = a_job(work)
    with pytest.raises(Permanent):
        runner.run(job, by_hand(dry_run=True))
    assert JobState.objects.get(name=job.name).runs_failed == 0
    assert JobRun.objects.get(job=job.name).outcome == Outcome.FAILED


def test_what_died_does_not_run_when_the_next_is_not_needed() -> None:
    job = a_job()
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(outcome=Outcome.RUNNING, ended_at=None)
    JobState.objects.filter(name=job.name).update(outcome=Outcome.RUNNING)
    with pytest.raises(Skipped):
        runner.run(job, by_beat())
    assert JobRun.objects.get(job=job.name).outcome == Outcome.DIED
    assert JobState.objects.get(name=job.name).outcome == Outcome.DIED


def test_a_run_that_was_taken_for_dead_does_not_overwrite_what_the_next_knows() -> None:
    """Its lock went with its connection to PostgreSQL; it does not know."""

    def work(run: Run) -> Done:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE locktype = 'advisory' AND classid = %s AND datname = current_database()",
                [lock._CLASS],
            )
        thread = in_thread(
            lambda: runner.run(replace(job, work=lambda run: Done(2, "newer", memory={"after": "newer"})), by_hand())
        )
        thread.join()
        return Done(1, "older", memory={"after": "older"})

    job = a_job(work)
    runner.run(job, by_hand())
    assert JobState.objects.get(name=job.name).memory == {"after": "newer"}
    outcomes = JobRun.objects.filter(job=job.name).order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == [Outcome.DIED, Outcome.DONE]
