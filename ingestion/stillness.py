"""A moment in which no event is being inserted, while the consumers run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from ingestion.ledger import answering
from ingestion.models import Offset
from nova import topics
from nova.errors import Transient

STILL_SECONDS = 30.0


@contextmanager
def still(patience: float = STILL_SECONDS) -> Iterator[None]:
    """While this holds, every event that any consumer has begun to insert is inserted, in all views, and no other is.

    The consumers wait in PostgreSQL, for `statement_timeout` at most, and then try again. Raises `Transient` when a
    batch stays half inserted for `patience` seconds, or when PostgreSQL does not answer: at the end too, since the lock
    may have been lost before.
    """
    with answering(), transaction.atomic():
        # Of all groups: each inserts into the same tables.
        rows = Offset.objects.filter(topic=topics.EVENTS)
        free = rows.filter(pending_lo=None).order_by("pk").select_for_update()
        deadline = time.monotonic() + patience
        held: set[int] = set()
        # One by one as they become free, or a busy consumer would never leave all of them free at once.
        while busy := set(rows.values_list("pk", flat=True)) - held:
            held |= set(free.filter(pk__in=busy).values_list("pk", flat=True))
            if held >= busy:
                continue
            if time.monotonic() > deadline:
                stuck = ", ".join(str(row) for row in rows.exclude(pending_lo=None))
                raise Transient(f"a batch of events stays half inserted: {stuck}. Does run_events_consumer run?")
            time.sleep(0.02)
        yield
        rows.first()
