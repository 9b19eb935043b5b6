"""When a dead letter is sent again: after 1 minute, doubling to an hour, 8 times."""

from datetime import UTC, datetime, timedelta

from jobs import sweep

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_the_waits_double_from_a_minute_to_an_hour():
    minutes = [sweep.wait(tries) / timedelta(minutes=1) for tries in range(sweep.MOST_TRIES)]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_letter_is_due_from_the_end_of_its_wait_on():
    assert not sweep.is_due(2, NOON, NOON + timedelta(minutes=4, seconds=-1))
    assert sweep.is_due(2, NOON, NOON + timedelta(minutes=4))


def test_after_eight_tries_it_is_left_to_staff():
    much_later = NOON + timedelta(days=30)
    assert sweep.is_due(7, NOON, much_later)
    assert not sweep.is_due(8, NOON, much_later)


def test_the_letter_before_is_read_from_the_header():
    assert sweep._earlier([["trace", "abc"], ["nova.replay-of", "17"]]) == 17
    assert sweep._earlier([["trace", {"base64": "/w=="}]]) is None
    assert sweep._earlier([["nova.replay-of", {"base64": "/w=="}]]) is None
    assert sweep._earlier([["nova.replay-of", "seventeen"]]) is None
    assert sweep._earlier([["nova.replay-of", "²"]]) is None


def test_a_number_that_no_letter_can_have_is_none():
    """Any producer may set the header, and one letter must not end every sweep from then on."""
    assert sweep._earlier([["nova.replay-of", "9" * 5000]]) is None
    assert sweep._earlier([["nova.replay-of", "9" * 19]]) is None
