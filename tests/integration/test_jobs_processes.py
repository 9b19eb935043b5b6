"""Beats and workers as real processes: cases 61 and 62."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from celery import Celery

from embedded.process import Process
from tests.apps import ROOT
from tests.client import wait_until

APP = "tests.integration.job_worker"


class Celeries:
    """Celery processes around one queue of their own, and what became of their jobs, read from outside."""

    def __init__(self, prepared: Any, folder: Path, ending: ExitStack) -> None:
        self.queue = uuid4().hex[:8]
        self._env = {
            **os.environ,
            **prepared.env,
            "JOB_TEST_QUEUE": self.queue,
            "DJANGO_SETTINGS_MODULE": "nova.settings",
        }
        self._folder, self._ending = folder, ending
        self._sql = ending.enter_context(psycopg.connect(prepared.env["DATABASE_URL"], autocommit=True))
        self._redis = redis.Redis.from_url(prepared.env["REDIS_URL"])
        self._app = Celery(broker=prepared.env["REDIS_URL"])
        self._app.conf.task_default_queue = self.queue
        ending.callback(self._clean)

    def start(self, kind: str, *options: str, **environment: str) -> Process:
        """A worker or a beat; ended with the test."""
        log = self._folder / f"{kind}-{uuid4().hex[:4]}.log"
        argv = [sys.executable, "-m", "celery", "-A", APP, kind, "--loglevel=INFO", *options]
        process = Process(argv, environment={**self._env, **environment}, log=log, cwd=ROOT, death_signal=15)
        self._ending.callback(lambda: (process.signal_all(9), process.wait(30)))
        return process

    def worker(self, **environment: str) -> Process:
        name = f"--hostname={uuid4().hex[:6]}@%h"
        return self.start("worker", "--concurrency=2", "--without-gossip", "--without-mingle", name, **environment)

    def beat(self) -> Process:
        return self.start("beat", "--pidfile=", "--max-interval=1")

    def send(self, job: str) -> str:
        """Ask for a run; its number."""
        return str(self._app.send_task(f"jobs.test_{job}_{self.queue}").id)

    def schedule(self, job: str, seconds: int) -> None:
        """As staff would in the admin."""
        (every,) = self.rows(
            "INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (%s, 'seconds') RETURNING id",
            seconds,
        )
        fields = {
            **dict.fromkeys(("name", "task"), f"jobs.test_{job}_{self.queue}"),
            **{"args": "[]", "kwargs": "{}", "headers": "{}", "description": "", "enabled": True, "one_off": False},
            **{"interval_id": every[0], "total_run_count": 0},
        }
        names, marks = ", ".join(fields), ", ".join(["%s"] * len(fields))
        self.rows(
            f"INSERT INTO django_celery_beat_periodictask ({names}, date_changed) VALUES ({marks}, now()) RETURNING id",
            *fields.values(),
        )

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._sql.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def runs(self, job: str) -> list[tuple[str, int]]:
        """(outcome, number of the last attempt) of each run, oldest first."""
        name = f"test_{job}_{self.queue}"
        return self.rows("SELECT outcome, attempt FROM job_runs WHERE job = %s ORDER BY started_at", name)  # type: ignore[return-value]

    def skipped(self, job: str) -> int:
        found = self.rows("SELECT runs_skipped FROM job_states WHERE name = %s", f"test_{job}_{self.queue}")
        return int(found[0][0]) if found else 0

    def started(self, job: str) -> int:
        """How often the job's function was entered, whatever was noted of it."""
        return int(self._redis.get(f"test-job:{self.queue}:{job}") or 0)

    def is_asked_for(self, number: str) -> bool:
        """Whether the message of a run waits, or a worker has it."""
        messages = [*self._redis.lrange(self.queue, 0, -1), *self._redis.hvals("unacked")]
        return any(number.encode() in message for message in messages)

    def _clean(self) -> None:
        like = f"%{self.queue}"
        self._sql.execute("DELETE FROM django_celery_beat_periodictask WHERE task LIKE %s", [like])
        self._sql.execute("DELETE FROM job_runs WHERE job LIKE %s", [like])
        self._sql.execute("DELETE FROM job_states WHERE name LIKE %s", [like])
        self._redis.delete(self.queue)


@pytest.fixture
def celeries(prepared: Any, tmp_path: Path) -> Iterator[Celeries]:
    with ExitStack() as ending:
        yield Celeries(prepared, tmp_path, ending)


def soon(look: Callable[[], Any], what: str) -> None:
    wait_until(look, what, seconds=180)


def test_two_beats_and_two_workers_make_one_run_a_slot(celeries: Celeries) -> None:
    """Case 61."""
    celeries.schedule("tick", 4)
    for start in (celeries.worker, celeries.worker, celeries.beat, celeries.beat):
        start()
    soon(lambda: celeries.started("tick") >= 4, "four slots")
    # Both beats have asked.
    soon(lambda: celeries.skipped("tick") >= 2, "the second beat was refused")
    close = celeries.rows(
        "SELECT count(*) FROM (SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS gap FROM job_runs"
        " WHERE job = %s) AS gaps WHERE gap < interval '2 seconds'",
        f"test_tick_{celeries.queue}",
    )
    assert close == [(0,)]


def test_a_run_longer_than_the_visibility_timeout_is_made_once(celeries: Celeries) -> None:
    """Case 62: Redis hands the message out again while the job is still going on."""
    for _ in range(2):
        celeries.worker(JOB_TEST_VISIBILITY="5")
    celeries.send("slow")
    soon(lambda: celeries.skipped("slow") >= 1, "the message was delivered a second time")
    soon(lambda: celeries.runs("slow") == [("done", 0)], "the run is done")
    assert celeries.started("slow") == 1


def test_a_try_that_waits_longer_than_the_visibility_timeout_is_made_once(celeries: Celeries) -> None:
    """Case 62: the message of the second try waits in a worker, and Redis hands it out again and again meanwhile."""
    for _ in range(2):
        celeries.worker(JOB_TEST_VISIBILITY="5")
    celeries.send("flaky")
    soon(lambda: celeries.runs("flaky") == [("done", 1)], "the second try is done")
    soon(lambda: celeries.skipped("flaky") >= 1, "the message was delivered twice")
    assert celeries.started("flaky") == 2


def test_a_worker_that_is_killed_leaves_no_job_stuck(celeries: Celeries) -> None:
    worker = celeries.worker()
    celeries.send("slow")
    soon(lambda: celeries.started("slow") == 1, "the job goes on")
    worker.signal_all(9)
    worker.wait(30)
    celeries.worker()
    celeries.send("slow")
    soon(lambda: sorted(celeries.runs("slow")) == [("died", 0), ("done", 0)], "the next run is done")


def test_a_job_that_ends_its_process_each_time_is_given_up(celeries: Celeries) -> None:
    """It was handed out again at once, for as long as its message lived: for hours, of a nightly job."""
    celeries.worker()
    number = celeries.send("deadly")
    soon(lambda: celeries.started("deadly") >= 2, "it is tried once more")
    soon(lambda: not celeries.is_asked_for(number), "nobody will try it again")
    assert celeries.started("deadly") == 2
    celeries.send("tick")
    soon(lambda: celeries.started("tick") == 1, "the worker goes on")
