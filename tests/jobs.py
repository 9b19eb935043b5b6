"""Jobs as tests run them, and what gives them something to do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

from django.core.management import call_command
from django.db import connection

from ingestion.models import DeadLetter
from jobs import runner
from jobs.job import Done, Job, Run
from jobs.models import JobState
from jobs.runner import Skipped, Ticket
from nova import clock
from tests.feeds import Feeds, member

# Of the jobs that are made here, in seconds.
PERIOD = 60


def run_job(name: str, *options: str) -> str:
    said = StringIO()
    call_command("run_job", name, *options, stdout=said)
    return said.getvalue()


def state(name: str) -> JobState:
    return JobState.objects.get(name=name)


def come(feeds: Feeds, *viewers: UUID, times: int = 1) -> None:
    """Each of them looks at a post, so that they are active."""
    post = feeds.post(member())
    for viewer in viewers:
        feeds.act(viewer, post, "view", times=times)


def letter(
    topic: str, *, reason: str = "in_future", minutes_ago: float = 5, before: DeadLetter | None = None
) -> DeadLetter:
    made = DeadLetter.objects.create(
        consumer="events",
        topic=topic,
        topic_id=uuid4().hex[:36],
        partition=0,
        offset=0,
        raw=b'{"a": 1}',
        headers=[["nova.replay-of", str(before.pk)]] if before else [],
        reason=reason,
    )
    DeadLetter.objects.filter(pk=made.pk).update(created_at=clock.now() - timedelta(minutes=minutes_ago))
    return made


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
