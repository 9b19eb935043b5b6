"""One run of a job at a time, and what becomes of one that died, or seems to have: on a real PostgreSQL."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.db.models import F

from jobs import lock, runner
from jobs.job import Done, Run
from jobs.models import JobRun, JobState, Outcome
from jobs.runner import Skipped
from nova.errors import Permanent
from tests.apps import ROOT
from tests.client import wait_until
from tests.jobs import PERIOD, a_job, by_beat, by_hand, going_on, in_thread, state

pytestmark = pytest.mark.django_db(transaction=True)


def holds_a_lock() -> int:
    """The server process behind the one job's lock that is held."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND classid = %s AND datname = current_database()",
            [lock._CLASS],
        )
        ((holder,),) = cursor.fetchall()
    return int(holder)


def test_a_run_that_is_going_on_is_not_started_again() -> None:
    job = a_job()
    with going_on(job):
        with pytest.raises(Skipped, match="going on"):
            runner.run(job, by_hand())
        runner.run(a_job(), by_hand())
    assert [entry.summary for entry in JobRun.objects.filter(job=job.name)] == ["ended"]
    assert state(job.name).runs_skipped == 1
    runner.run(job, by_hand())


def test_the_lock_is_free_as_soon_as_its_block_has_ended() -> None:
    """Even when PostgreSQL is slow to notice that a connection is closed."""
    with lock.held("slow to let go"):
        holder = holds_a_lock()
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
    assert state(job.name).runs_failed == 1


def test_a_message_whose_worker_died_is_taken_up_by_another() -> None:
    """`acks_late`: Redis hands the message out again, with the same number. Each try that was lost is counted."""
    job, ticket = a_job(), by_beat()
    for tries in range(3):
        runner.run(job, ticket)
        (entry,) = JobRun.objects.filter(job=job.name)
        assert entry.outcome == Outcome.DONE
        assert (state(job.name).runs_retried, state(job.name).runs_failed) == (tries, 0)
        JobRun.objects.filter(job=job.name).update(outcome=Outcome.RUNNING, ended_at=None)


def test_what_died_does_not_run_when_the_next_is_not_needed() -> None:
    job = a_job()
    runner.run(job, by_beat())
    JobRun.objects.filter(job=job.name).update(outcome=Outcome.RUNNING, ended_at=None)
    JobState.objects.filter(name=job.name).update(outcome=Outcome.RUNNING)
    with pytest.raises(Skipped):
        runner.run(job, by_beat())
    assert JobRun.objects.get(job=job.name).outcome == Outcome.DIED
    assert JobState.objects.get(name=job.name).outcome == Outcome.DIED


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_was_taken_for_dead_does_not_overwrite_what_the_next_knows(fails: bool) -> None:
    """Its lock went with its connection to PostgreSQL; it does not know."""

    def work(run: Run) -> Done:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [holds_a_lock()])
        thread = in_thread(
            lambda: runner.run(replace(job, work=lambda run: Done(2, "newer", memory={"after": "newer"})), by_hand())
        )
        thread.join()
        if fails:
            raise Permanent("older")
        return Done(1, "older", memory={"after": "older"})

    job = a_job(work)
    with pytest.raises(Permanent) if fails else nullcontext():
        runner.run(job, by_hand())
    now = state(job.name)
    assert (now.memory, now.outcome, now.summary) == ({"after": "newer"}, Outcome.DONE, "newer")
    assert (now.runs_done, now.runs_failed) == (1, 1)
    outcomes = JobRun.objects.filter(job=job.name).order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == [Outcome.DIED, Outcome.DONE]
