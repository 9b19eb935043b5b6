"""Jobs as tests run them, and what gives them something to do."""

from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

from django.core.management import call_command

from ingestion.models import DeadLetter
from jobs.models import JobState
from nova import clock
from tests.feeds import Feeds, member


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
