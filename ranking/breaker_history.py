"""Writing down what a breaker did, off the path of requests and as well as it goes: history is no reason to fail."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.db import DatabaseError, connection

from nova.clock import now

log = logging.getLogger(__name__)
_LONGEST = 500


@cache
def _writer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="breaker-history")


def note(breaker: str, before: str, after: str, *, reason: str, by: str) -> None:
    """Write one change to `BreakerEvent` soon. Neither blocks nor raises."""
    log.warning("the breaker for %s went from %s to %s: %s", breaker, before, after, reason)
    at = now()

    def write() -> None:
        from ranking.models import BreakerEvent

        try:
            BreakerEvent.objects.create(
                breaker=breaker, at=at, before=before, after=after, reason=reason[:_LONGEST], by=by
            )
        except DatabaseError as error:
            log.warning("the breaker's history could not be written: %s", error)
        finally:
            connection.close()

    _writer().submit(write)
