"""Keeps the connector going while changes are consumed.

Debezium starts itself again after what it takes for a passing error. A PostgreSQL that goes away in the few
milliseconds in which a task makes its connections is none to it: Kafka Connect then leaves the task failed until
somebody starts it, and no change arrives any more (seen at the second of two restarts in a row).
"""

import threading

import structlog
from django.db import DatabaseError, connection

from ingestion import connector
from nova.errors import Permanent, Transient
from nova.metrics import CONNECTOR_REVIVALS

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
# What fails again and again is looked at ever more seldom.
_MOST_SECONDS = 300.0


def start() -> None:
    """Look after the connector for as long as this process lives. Any number of processes may."""
    threading.Thread(target=_keep_looking, name="reviving", daemon=True).start()


def _keep_looking() -> None:
    pause, never = LOOK_SECONDS, threading.Event()
    while not never.wait(pause):
        pause = min(2 * pause, _MOST_SECONDS) if look() else LOOK_SECONDS


def look() -> bool:
    """Start what has failed; whether something had. Never raises: what is down now is looked at again."""
    try:
        cause = connector.revive()
    except (Transient, DatabaseError) as error:
        log.debug("connector_not_seen", reason=str(error))
        return False
    except Permanent as error:
        log.error("connector_failed", reason=str(error))
        return True
    except Exception:
        log.exception("connector_not_seen")
        return True
    finally:
        connection.close()
    if cause:
        CONNECTOR_REVIVALS.inc()
        log.error("connector_started_again", cause=cause)
    return cause is not None
