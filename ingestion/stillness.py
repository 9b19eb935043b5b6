"""A moment in which no event is being inserted, while the consumers run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from ingestion.ledger import answering, no_new_rows
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
        # A partition that nobody has read yet has no row that could be held.
        no_new_rows()
        # Of all groups: each inserts into the same tables.
        rows = Offset.objects.filter(topic=topics.EVENTS)
        deadline = time.monotonic() + patience
        held: set[int] = set()
        # One by one as they become free, or a busy consumer would never leave all of them free at once.
        while busy := set(rows.values_list("pk", flat=True)) - held:
            free = rows.filter(pk__in=busy, pending_lo=None).order_by("pk").values_list("pk", flat=True)
            held |= {pk for pk in free if _holds(pk)}
            if held >= busy:
                continue
            if time.monotonic() > deadline:
                stuck = ", ".join(str(row) for row in rows.exclude(pending_lo=None))
                raise Transient(f"a batch of events stays half inserted: {stuck}. Does run_events_consumer run?")
            time.sleep(0.02)
        yield
        rows.first()


def _holds(pk: int) -> bool:
    """Lock the row of a partition, unless a batch has begun since it was looked at."""
    with transaction.atomic():
        if Offset.objects.filter(pk=pk).select_for_update().values_list("pending_lo").first() == (None,):
            return True
        # Ends the lock too, which the batch would wait for at its end, and we for the batch. (With the condition in the
        # query PostgreSQL would keep it: it locks before it looks whether a row that changed meanwhile still fits.)
        transaction.set_rollback(True)
    return False
