"""Keeps the DLQ topic up with the table of dead letters while a consumer runs: what a batch's own try left behind."""

import threading

import structlog
from django.db import DatabaseError, connection

from ingestion import dead_letters

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


def start(consumer: str) -> None:
    """Publish at once what is left from before, then what is left over, for as long as this process lives."""
    threading.Thread(target=_keep_publishing, args=(consumer,), name="publishing", daemon=True).start()


def _keep_publishing(consumer: str) -> None:
    never = threading.Event()
    while True:
        more = _publish(consumer)
        never.wait(0 if more else LOOK_SECONDS)


def _publish(consumer: str) -> bool:
    """One round; whether another one should follow at once. Never raises."""
    try:
        return dead_letters.try_to_publish(consumer) > 0
    except DatabaseError as error:
        log.warning("dead_letters_unpublished", error=str(error))
        return False
    except Exception:
        log.exception("dead_letters_unpublished")
        return False
    finally:
        # Back to the pool, which is small.
        connection.close()
