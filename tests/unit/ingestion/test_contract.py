"""One set of rules for events, in the API and in the consumer."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import contract
from ingestion.errors import InvalidMessage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fields(**changes):
    return {
        "event_id": str(uuid4()),
        "event_time": "2026-11-23T12:00:00Z",
        "user_id": str(uuid4()),
        "post_id": str(uuid4()),
        "author_id": str(uuid4()),
        "action": "view",
        "source": "client",
        "dwell_ms": 5,
        "device": "ios",
        "app_ver": "3.2.1",
    } | changes


def parse(at=NOW, **changes):
    return contract.parse(msgspec.json.encode(fields(**changes)), at)


def refusal(read):
    with pytest.raises(InvalidMessage) as refused:
        read()
    assert refused.value.reason in contract.REASONS
    return refused.value.reason, refused.value.field


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event_time": "2026-11-23T12:05:00Z"}, None),
        ({"event_time": "2026-11-23T12:05:00.000001Z"}, ("in_future", "event_time")),
        ({"event_time": "2026-10-24T11:50:00Z"}, None),
        ({"event_time": "2026-10-24T11:49:59.999999Z"}, ("too_old", "event_time")),
        ({"event_time": "2026-08-25T11:50:00Z", "source": "table"}, None),
        ({"event_time": "2026-08-25T11:49:59Z", "source": "table"}, ("too_old", "event_time")),
        ({"event_time": "2026-10-24T11:49:59Z", "source": "service"}, ("too_old", "event_time")),
        ({"event_time": "2026-11-23T12:00:00"}, ("schema", "event_time")),
        ({"event_time": "2026-11-23T14:00:00+02:00"}, None),
        ({"event_time": 1700000000}, ("schema", "event_time")),
        ({"event_time": "2300-01-01T00:00:00Z"}, ("schema", "event_time")),
        ({"event_time": "0001-01-01T00:00:00+14:00"}, ("schema", "event_time")),
        ({"event_id": "7"}, ("schema", "event_id")),
        ({"user_id": None}, ("schema", "user_id")),
        ({"dwell_ms": 86_400_000}, None),
        ({"dwell_ms": 86_400_001}, ("schema", "dwell_ms")),
        ({"dwell_ms": -1}, ("schema", "dwell_ms")),
        ({"dwell_ms": 10**30}, ("schema", "dwell_ms")),
        ({"dwell_ms": 1.5}, ("schema", "dwell_ms")),
        ({"dwell_ms": "5"}, ("schema", "dwell_ms")),
        ({"dwell_ms": None, "device": None, "app_ver": None, "author_id": None}, None),
        ({"device": "fridge"}, ("schema", "device")),
        ({"app_ver": "x" * 32}, None),
        ({"app_ver": "x" * 33}, ("schema", "app_ver")),
        ({"app_ver": "a\0b"}, ("schema", "app_ver")),
        ({"action": "stare"}, ("schema", "action")),
        ({"action": "unlike"}, ("action", "action")),
        ({"action": "unlike", "source": "table"}, None),
        ({"action": "uncomment", "source": "service"}, None),
        ({"unknown": {"deep": [1, 2]}}, None),
    ],
)
def test_rules(changes, expected):
    if expected is None:
        parse(**changes)
    else:
        assert refusal(lambda: parse(**changes)) == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "no_value"),
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"{", "not_json"),
        (b"[]", "schema"),
        (b"null", "schema"),
        (b'{"dwell_ms": NaN}', "not_json"),
        (b'{"event_id": "\\ud800"}', "not_json"),
        (b'{"a": ' + b"[" * 100_000, "not_json"),
    ],
)
def test_poison_is_named_and_never_raises_anything_else(raw, reason):
    assert refusal(lambda: contract.parse(raw, NOW))[0] == reason


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_invalid_message(raw):
    with pytest.raises(InvalidMessage):
        contract.parse(raw, NOW)


def test_what_was_accepted_is_not_too_old_when_it_is_in_kafka():
    last = NOW - timedelta(days=30)
    event = parse(at=NOW + contract.UNDER_WAY, event_time=last.isoformat())
    contract.check(event, NOW)
    assert refusal(lambda: contract.check(event, NOW + timedelta(microseconds=1)))[0] == "too_old"


def test_the_age_is_measured_by_the_message_and_not_by_the_clock():
    old = NOW - timedelta(days=400)
    parse(at=old, event_time=old.isoformat())
    assert refusal(lambda: parse(at=NOW, event_time=old.isoformat()))[0] == "too_old"


def test_without_a_message_time_age_is_no_reason():
    parse(at=None, event_time="2020-01-01T00:00:00Z")


def test_the_line_has_one_spelling_and_reads_back():
    event = parse(event_time="2026-11-23T14:00:00+02:00", device=None, author_id=None)
    line = event.line()
    assert b"\n" not in line
    assert b'"event_time":"2026-11-23T12:00:00.000000Z"' in line
    again = contract.parse(line, NOW)
    assert again.line() == line
    assert again.key() == event.user_id.bytes


def test_a_client_cannot_choose_its_source():
    assert not hasattr(contract.submitted(fields(source="table")), "source")


@pytest.mark.parametrize("item", [None, 5, "x", [], {}, {"event_id": "x"}, fields(app_ver="\ud800", event_id=3)])
def test_anything_in_a_request_is_judged(item):
    with pytest.raises(InvalidMessage):
        contract.submitted(item)


def test_a_lone_surrogate_in_a_request_is_refused():
    given = contract.submitted(fields(app_ver="\ud800"))
    values = {name: getattr(given, name) for name in given.__struct_fields__}
    assert refusal(lambda: contract.check(contract.Event(**values), NOW))[1] == "app_ver"


def test_a_table_event_is_the_same_for_a_snapshot_and_different_for_its_deletion():
    row = {
        "table": "likes",
        "row_id": uuid4(),
        "created_at": NOW,
        "user_id": uuid4(),
        "post_id": uuid4(),
        "author_id": uuid4(),
    }
    made, again = contract.table_event(deleted=False, **row), contract.table_event(deleted=False, **row)
    gone = contract.table_event(deleted=True, **row)
    assert made == again
    assert made.event_id != gone.event_id
    assert (made.action, gone.action, made.source) == ("like", "unlike", "table")
    assert made.event_time == gone.event_time
    comment = contract.table_event(deleted=False, **(row | {"table": "comments"}))
    assert comment.event_id != made.event_id
    assert comment.action == "comment"
