"""The quick way and the explaining way accept the same and make the same of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import columns, contract
from ingestion.lines import LookCloser

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp() * 1000)


def read_both(values, stamp=STAMP):
    offsets = np.arange(100, 100 + len(values), dtype=np.int64)
    stamps = np.full(len(values), stamp, np.int64)
    explained = columns.explain(values, offsets, stamps)
    try:
        return columns.quick(values, offsets, stamps), explained
    except LookCloser:
        return None, explained


def agree(values, stamp=STAMP):
    quick, explained = read_both(values, stamp)
    if quick is not None:
        assert explained.failed == []
        assert quick.table.equals(explained.columns.table)
        assert quick.offsets.tolist() == explained.columns.offsets.tolist()
    return quick is not None


uuids = st.uuids().map(str)
good = st.fixed_dictionaries(
    {
        "event_id": uuids,
        "event_time": st.datetimes(NOW.replace(tzinfo=None) - timedelta(days=29), NOW.replace(tzinfo=None)).map(
            lambda moment: moment.isoformat(timespec="microseconds") + "Z"
        ),
        "user_id": uuids,
        "post_id": uuids,
        "author_id": uuids,
        "action": st.sampled_from(sorted(contract.CLIENT_ACTIONS)),
        "source": st.sampled_from(sorted(contract.SOURCES)),
        "dwell_ms": st.integers(0, contract.MOST_DWELL_MS),
        "device": st.sampled_from(sorted(contract.DEVICES)),
        "app_ver": st.text(max_size=32),
    }
)
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    uuids,
    uuids.map(str.upper),
    st.uuids().map(lambda identifier: identifier.hex),
    st.sampled_from(
        [
            "2026-11-23",
            "2026-11-23 12:00:00.000000Z",
            "2026-11-23T12:00:00Z",
            "2026-11-23T12:00:00.000000",
            "2026-02-30T12:00:00.000000Z",
            "2026-11-23T24:00:00.000000Z",
            "2026-11-23T23:59:60.000000Z",
            "2026-11-23T12:00:00.000000+01:00",
            "2026-11-23T12:05:00.000001Z",
            "1999-12-31T23:59:59.999999Z",
            "2026-09-01T00:00:00.000000Z",
            "unlike",
            "table",
            "\u2028",
            "\x7f",
            "-0",
        ]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def message(draw):
    """The bytes of a message: mostly good, often nearly, sometimes anything."""
    event = draw(good)
    for name in draw(st.lists(st.sampled_from([*event, "extra"]), max_size=2)):
        if draw(st.booleans()):
            event[name] = draw(odd_values)
        else:
            event.pop(name, None)
    names = draw(st.permutations(list(event))) if draw(st.booleans()) else list(event)
    raw = msgspec.json.encode({name: event[name] for name in names})
    match draw(st.integers(0, 24)):
        case 0:
            place = draw(st.integers(0, len(raw)))
            raw = raw[:place] + draw(st.binary(max_size=3)) + raw[place:]
        case 1:
            raw = raw[: draw(st.integers(0, len(raw)))]
        case 2:
            raw = raw + raw
        case 3:
            raw = raw.replace(b",", b" ,\n", 1)
        case 4:
            raw = b" " + raw
        case 5:
            raw = raw[:-1] + b',"action":"view"}'
        case 6:
            raw = raw.replace(b"}", b',"n":NaN}')
        case 7:
            raw = raw.replace(b'"dwell_ms":', b'"dwell_ms":0')
        case 8:
            raw = b""
        case 9:
            raw = draw(st.binary(max_size=60))
        case _:
            pass
    return raw


@settings(max_examples=600, deadline=None)
@given(st.lists(message(), min_size=1, max_size=4))
def test_both_ways_agree(values):
    agree(values)


@settings(max_examples=100, deadline=None)
@given(st.lists(good, min_size=1, max_size=5))
def test_canonical_lines_pass_both_ways(events):
    """Without this, the property above could hold because nothing ever passes the quick way."""
    lines = []
    for event in events:
        event["app_ver"] = "3.2.1"
        lines.append(contract.parse(msgspec.json.encode(event), None).line())
    assert agree(lines)


def line(**changes):
    fields = {
        "event_id": uuid4(),
        "event_time": NOW,
        "user_id": uuid4(),
        "post_id": uuid4(),
        "author_id": uuid4(),
        "action": "view",
        "app_ver": "1.0",
    } | changes
    return contract.Event(**fields).line()


@pytest.mark.parametrize("stamp", [STAMP, -1, 0, 2**62])
def test_any_kafka_timestamp_is_survived(stamp):
    agree([line(), line()], stamp)


@pytest.mark.parametrize(
    "values",
    [
        [line() + line(), b""],
        [line() + line(), b" "],
        [line()[:-1], b"}" + line()],
        [line(), None],
        [line().replace(b",", b",\n")],
        [b"{}\n" + line()],
        [line(), b'{"a":1}'],
    ],
)
def test_no_message_is_taken_for_its_neighbour(values):
    assert not agree(values)


@pytest.mark.parametrize(
    "identifier",
    [
        "0c361729-6144-4a27-9be7-8572f47cce  ",
        "  361729-6144-4a27-9be7-8572f47cce63",
        "0C361729-6144-4a27-9be7-8572f47cce63",
        "0g361729-6144-4a27-9be7-8572f47cce63",
        "0c361729f6144-4a27-9be7-8572f47cce63",
        "0c3617296-144-4a27-9be7-8572f47cce63",
        "0c361729-6144-4a27-9be7-8572f47cceé",
    ],
)
def test_what_only_resembles_an_id_is_looked_at_closely(identifier):
    event_id = uuid4()
    assert not agree([line(), line(event_id=event_id).replace(str(event_id).encode(), identifier.encode())])


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (b'"user_id"', b'"post_id"'),
        (b"{", b" "),
        (b'","author_id":"', b'", "author_id":"'),
        (b'"event_id"', b'"event_iD"'),
    ],
)
def test_no_field_is_taken_for_another_by_its_place(here, there):
    """Names that changed places, a line that begins otherwise: the quick way goes by places and must look at each."""
    odd = line().replace(here, b"?").replace(there, here).replace(b"?", there)
    assert not agree([line(), odd])


@pytest.mark.parametrize(("late", "source"), [(True, "client"), (False, "client"), (True, "table"), (False, "table")])
def test_both_ways_know_the_same_oldest(late, source):
    oldest = NOW - contract.BEHIND[source] - contract.UNDER_WAY
    value = line(source=source, event_time=oldest - timedelta(microseconds=late))
    assert agree([value]) is not late
    assert [error.reason for _, error in columns.explain([value], np.arange(1), np.full(1, STAMP)).failed] == (
        ["too_old"] if late else []
    )


def test_another_order_of_fields_is_read_as_well():
    identifier = uuid4()
    fields = msgspec.json.decode(line(event_id=identifier))
    turned = msgspec.json.encode(dict(reversed(fields.items())))
    read = columns.read([line(), turned], np.arange(2), np.full(2, STAMP))
    assert not read.failed
    assert read.columns.ids[16:] == identifier.bytes


def test_failures_are_named_by_their_place_and_the_rest_is_read():
    read = columns.read([line(), b"x", line(), None], np.arange(4), np.full(4, STAMP))
    assert read.columns.offsets.tolist() == [0, 2]
    assert [(place, error.reason) for place, error in read.failed] == [(1, "not_json"), (3, "no_value")]


def test_columns_hold_what_the_events_held():
    moment = NOW - timedelta(microseconds=1)
    identifier = UUID("00112233-4455-6677-8899-aabbccddeeff")
    quick, _ = read_both([line(event_id=identifier, event_time=moment, dwell_ms=7, device="web", app_ver="é")])
    assert quick.ids == identifier.bytes
    assert quick.times.tolist() == [int(NOW.timestamp()) * 1_000_000 - 1]
    assert quick.days.tolist() == [(NOW - datetime(1970, 1, 1, tzinfo=UTC)).days]
    row = quick.table.to_pylist()[0]
    assert (row["event_time"], row["dwell_ms"], row["device"], row["app_ver"]) == (moment, 7, "web", "é")


def test_rows_are_chosen_together_with_their_offsets():
    quick, _ = read_both([line() for _ in range(4)])
    chosen = quick.where(np.array([True, False, False, True]))
    assert chosen.offsets.tolist() == [100, 103]
    assert chosen.ids == quick.ids[:16] + quick.ids[48:]
