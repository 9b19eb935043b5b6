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


def is_under_way_in_stillness() -> bool:
    with still():
        return is_under_way()


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


def no_rows_are_made() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND classid = %s",
            [ledger._LOCK_CLASS],
        )
        return bool(cursor.fetchone() == (1,))


def test_a_batch_that_begins_just_before_can_end(part: Partition) -> None:
    """Its row was free when it was looked at, and is not when it is locked."""

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            begin(part)
            looking = pool.submit(apart, is_under_way_in_stillness)
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


def test_meanwhile_nobody_becomes_the_first_owner_of_a_partition(part: Partition) -> None:
    """Its row is not there to be held: a topic got more partitions, or a group is new."""

    def first(partition: int) -> Partition:
        return ledger.claim(part.consumer, part.topic, part.topic_id, partition, low=0, high=10**9)[0]

    with ThreadPoolExecutor(1) as pool:
        with still():
            claiming = pool.submit(apart, lambda: first(1))
            wait_for_waiting(1)
            assert Offset.objects.count() == 1
        begin(claiming.result(60))
    assert Offset.objects.filter(pending_lo=None).get().pk == part.row


def test_a_partition_can_change_hands_while_its_batch_is_waited_for(part: Partition) -> None:
    """Its next owner ends the batch, and has to claim it for that."""
    begin(part)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(apart, is_under_way_in_stillness)
        wait_until(no_rows_are_made, "stillness to begin")
        successor, _ = ledger.claim(part.consumer, part.topic, part.topic_id, 0, low=0, high=10**9)
        ledger.after(successor, hi=9)
        assert looking.result(60) is False
