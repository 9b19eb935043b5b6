"""A true note of each run: what it did, how it failed, and nothing of a dry one. On a real PostgreSQL."""

from dataclasses import replace

import pytest
from django.db import OperationalError

from jobs import runner
from jobs.job import Done, OutOfTime, Run
from jobs.models import JobRun, JobState, Outcome
from nova.errors import Permanent, Transient
from tests.jobs import a_job, by_beat, by_hand, state

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_is_noted() -> None:
    job = a_job(lambda run: Done(7, "made seven", memory={"at": 7}))
    runner.run(job, by_hand(by="anna"))
    entry, now = JobRun.objects.get(job=job.name), state(job.name)
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
    entry, now = JobRun.objects.get(job=job.name), state(job.name)
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
    assert (state(job.name).outcome, state(job.name).summary) == (Outcome.FAILED, "it was stopped before it was done")


def test_a_dry_run_takes_no_slot_and_leaves_the_memory() -> None:
    job = a_job(lambda run: Done(5, "would do five", memory={"dry": run.dry_run}))
    runner.run(job, by_hand(dry_run=True))
    assert (state(job.name).memory, state(job.name).runs_done, state(job.name).total_items) == ({}, 0, 0)
    runner.run(job, by_beat())
    assert state(job.name).memory == {"dry": False}


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
