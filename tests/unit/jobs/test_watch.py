"""What the watch complains about, and that it says what to do."""

import logging

import pytest

from jobs import watch
from jobs.watch import Slot

GOOD = Slot("nova_cdc", active=True, retained=1000, wal_status="reserved")


def test_a_slot_that_is_read_is_no_complaint():
    assert watch.slot_complaints(GOOD) == {}


@pytest.mark.parametrize(
    ("slot", "name", "remedy"),
    [
        (None, "slot missing", "setup_cdc --resnapshot, and then manage.py verify_sync --repair"),
        (Slot("nova_cdc", active=False, retained=0, wal_status="lost"), "slot lost", "setup_cdc --resnapshot"),
        (Slot("nova_cdc", active=True, retained=9, wal_status="unreserved"), "slot about to be lost", "Kafka Connect"),
        (Slot("nova_cdc", active=False, retained=9, wal_status="reserved"), "slot unread", "Kafka Connect"),
        (Slot("nova_cdc", active=True, retained=1 << 40, wal_status="extended"), "WAL held back", "pg_stat_activity"),
    ],
)
def test_a_complaint_says_what_to_do(slot, name, remedy):
    (found,) = watch.slot_complaints(slot).items()
    assert found[0] == name
    assert remedy in found[1]


def test_lag_beyond_the_bound(settings):
    settings.WATCH_LAG = 100
    assert list(watch.lag_complaints({"cdc": 100, "events": 101})) == ["events behind"]


def test_what_goes_on_is_said_once_and_its_end_too(caplog):
    caplog.set_level(logging.INFO, "jobs.watch")
    watch.say({"slot missing": "no slot"}, [])
    watch.say({"slot missing": "no slot"}, ["slot missing"])
    watch.say({}, ["slot missing"])
    assert [record.getMessage() for record in caplog.records] == ["no slot", "well again: slot missing"]
