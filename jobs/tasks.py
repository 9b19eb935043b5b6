"""What is done on a schedule. Each task is thin: it calls what the applications offer, and may run twice at once."""

from celery import shared_task

from nova import clock
from nova.errors import Transient
from ranking import pipeline


@shared_task(  # type: ignore[untyped-decorator]
    name="jobs.refresh_trending", autoretry_for=(Transient,), retry_backoff=2, retry_jitter=True, max_retries=2
)
def refresh_trending(window: str) -> int:
    """Work out `hot:posts:{window}` (1h, 24h or 7d) and keep it; how many posts it has."""
    return pipeline.refresh_trending(window, clock.now())
