"""What is done on a schedule. Each task is thin: it calls what the applications offer, and may run twice at once."""

from celery import shared_task

from nova import clock, metrics
from nova.errors import Transient
from ranking import pipeline

_AGAIN = {"autoretry_for": (Transient,), "retry_backoff": 2, "retry_jitter": True, "max_retries": 2}


@shared_task(name="jobs.refresh_trending", **_AGAIN)
def refresh_trending(window: str) -> int:
    """Work out `hot:posts:{window}` (1h, 24h or 7d) and keep it; how many posts it has."""
    with metrics.JOB_SECONDS.labels("refresh_trending").time():
        posts = pipeline.refresh_trending(window, clock.now())
    metrics.JOB_RUNS.labels("refresh_trending", "done").inc()
    metrics.JOB_LAST_RUN.labels("refresh_trending").set_to_current_time()
    return posts
