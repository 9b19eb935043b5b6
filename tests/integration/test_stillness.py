"""A moment without inserts: nobody begins one in it, and nobody who has begun one is kept from ending it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection, transaction

from ingestion import ledger
from ingestion.ledger import Partition
from ingestion.models import Offset
from ingestion.stillness import still
from nova import topics
from tests.client import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def part() -> Partition:
    made, _ = ledger.claim("events", topics.EVENTS, str(uuid4()), 0, low=0, high=10**9)
    return made


def begin(part: Partition) -> None:
    ledger.before(part, hi=9, kept=np.arange(10), token="a token")


def is_under_way() -> bool:
    return Offset.objects.get().pending_lo is not None


def apart(call: Callable[[], Any]) -> Any:
    """The call's answer, on a connection of its own."""
    try:
        return call()
    finally:
        connection.close()


def wait_for_waiting(count: int) -> None:
    """Until so many wait for a lock in this database."""

    def look() -> bool:
        with connection.cursor() as cursor:
            # Within a transaction it would always say what it said first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(cursor.fetchone() == (count,))

    wait_until(look, f"{count} who wait for a lock")


def test_a_batch_that_begins_just_before_can_end(part: Partition) -> None:
    """Its row was free when it was looked at, and is not when it is locked."""

    def look() -> bool:
        with still():
            return is_under_way()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            begin(part)
            looking = pool.submit(apart, look)
            wait_for_waiting(1)
        wait_for_waiting(0)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        try:
            ledger.after(part, hi=9)
        finally:
            connection.close()
        assert looking.result(60) is False


def test_meanwhile_no_batch_begins(part: Partition) -> None:
    with ThreadPoolExecutor(1) as pool:
        with still():
            beginning = pool.submit(apart, lambda: begin(part))
            wait_for_waiting(1)
            assert not is_under_way()
        beginning.result(60)
    assert is_under_way()
