"""Entries as they are packed, their order as text, and cursors that nobody else can make."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking import memory
from ranking.cursor import Cursor, InvalidCursor, prints
from ranking.entries import Entry, bytes_of_ids, ids_of_bytes, shown
from ranking.explanation import Basis, Explanation
from ranking.merge import Post
from ranking.scoring import Counts, Weights

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WEIGHTS = Weights(freshness=0.3, engagement=0.4, affinity=0.3, decay=0.1, version="one", experiment="bold")
BASIS = Basis(EPOCH + timedelta(days=9, microseconds=1001), WEIGHTS, 90, is_scored=True)
PLACES = st.tuples(st.booleans(), st.floats(0, 99), st.integers(0, 10**12), st.uuids())
COUNTS = st.builds(Counts, *[st.integers(-2, 10**9)] * 5)
CURSOR = Cursor("0" * 20, 50, 0, "x" * 71, "ch", "ch")


def entry(place: tuple[bool, float, int, UUID]) -> Entry:
    seen, final, microseconds, identifier = place
    created = EPOCH + timedelta(microseconds=microseconds)
    post = Post(str(identifier), str(uuid4()), created, "", "[]", 0, seen)
    why = Explanation(("followees",), 0, 0, Counts(likes=2), created, BASIS)
    return Entry.of(post, final, {"id": post.id, "text": "ü 🎉"}, why)


@given(PLACES)
def test_what_is_packed_is_found_again(place) -> None:
    packed = entry(place)
    assert packed.id == str(place[3])
    assert UUID(packed.author_id)
    assert packed.created_at == EPOCH + timedelta(microseconds=place[2])
    assert orjson.loads(packed.item) == {"id": packed.id, "text": "ü 🎉"}
    explained = orjson.loads(packed.explained)
    assert (explained["id"], explained["text"]) == (packed.id, "ü 🎉")
    assert explained["inputs"]["likes"] == 2
    assert packed._replace(why=None).explained == packed.item


@pytest.mark.parametrize(
    ("moment", "nearest"),
    [
        (datetime.min, datetime(1970, 1, 1)),
        (datetime(1938, 4, 24), datetime(1970, 1, 1)),
        (datetime(2286, 11, 20, 17, 46, 39, 999999), datetime(2286, 11, 20, 17, 46, 39, 999999)),
        (datetime(2299, 12, 31), datetime(2286, 11, 20, 17, 46, 39, 999999)),
        (datetime.max, datetime(2286, 11, 20, 17, 46, 39, 999999)),
    ],
    ids=str,
)
def test_a_time_that_does_not_fit_moves_no_column(moment: datetime, nearest: datetime) -> None:
    post = Post(str(uuid4()), str(uuid4()), moment.replace(tzinfo=UTC), "", "[]", 0, False)
    packed = Entry.of(post, 1.5, {"created_at": post.created_at})
    assert (packed.id, packed.author_id) == (post.id, post.author_id)
    assert orjson.loads(packed.item)["created_at"].startswith(f"{moment.year:04}-")
    assert packed.created_at == nearest.replace(tzinfo=UTC)


@given(st.lists(st.tuples(PLACES, st.integers(-99, 99), st.integers(-1, 99), COUNTS), min_size=1), st.booleans())
def test_what_explains_a_snapshot_is_found_again_to_the_last_digit(rows, is_scored) -> None:
    basis = BASIS._replace(is_scored=is_scored)
    entries = []
    for place, moved_by, interactions, counts in rows:
        made = entry(place)
        assert made.why
        why = made.why._replace(moved_by=moved_by, interactions=interactions, counts=counts, basis=basis)
        entries.append(made._replace(why=why))
    read = [Entry(one.packed) for one in entries]
    found = memory.explained(read, range(1, len(read) + 1), memory.packed(entries))
    assert [one.explained for one in found] == [one.explained for one in entries]


def test_what_is_not_explained_any_more_is_still_there() -> None:
    first, second = (entry((False, 1.0, number, uuid4())) for number in range(2))
    bare, alone = Entry(first.packed), Entry(second.packed)
    whys = memory.packed([bare, second])
    assert memory.explained([bare, alone], [1, 2], whys) == [bare, second]
    assert memory.explained([alone], [2], whys) == [second]
    assert memory.explained([bare], [1], memory.packed([bare])) == [bare]
    assert memory.explained([bare, alone], [1, 2], None) == [bare, alone]


def test_in_order_of_time_the_explanation_says_what_is_not_known() -> None:
    made = entry((False, 0.0, 0, uuid4()))
    assert made.why
    said = made.why._replace(basis=BASIS._replace(is_scored=False)).as_dict()
    nothing = "engagement", "affinity", "final", "weights"
    assert [name for name in said if said[name] is None] == [name for name in said if name in nothing]
    assert [name for name, value in said["inputs"].items() if value is None] == [
        "shares",
        "impressions",
        "interactions",
    ]
    assert (said["inputs"]["likes"], said["inputs"]["age_hours"] > 216, 0 < said["freshness"] < 1) == (2, True, True)


@pytest.mark.parametrize("microseconds", [0, 1, 999_999])
def test_a_time_has_its_fraction_also_at_a_whole_second(microseconds: int) -> None:
    post = Post(str(uuid4()), str(uuid4()), EPOCH + timedelta(microseconds=microseconds), "", "", 0, False)
    item = Entry.of(post, 0.0, shown(post, Counts(likes=-1), {})).item
    assert orjson.loads(item)["created_at"] == f"2026-01-01T00:00:00.{microseconds:06d}Z"
    assert (orjson.loads(item)["counts"]["likes"], orjson.loads(item)["media"]) == (0, [])


@given(PLACES, PLACES)
def test_the_sort_key_orders_as_text_as_the_feed_is_ordered(one, other) -> None:
    def rank(place):
        seen, final, microseconds, identifier = place
        return (not seen, float(f"{final:.12f}"), microseconds, str(identifier))

    assert (entry(one).key > entry(other).key) == (rank(one) > rank(other))


@given(st.lists(st.uuids(), max_size=20))
def test_ids_survive_their_bytes(ids) -> None:
    texts = [str(identifier) for identifier in ids]
    assert ids_of_bytes(bytes_of_ids(texts)) == texts


def test_a_cursor_comes_back_as_it_was() -> None:
    assert Cursor.decode(CURSOR.encode("viewer"), "viewer") == CURSOR


@pytest.mark.parametrize("text", ["", "x", "a:b:c", "e30:1xVTNm:x", "💥", "." * 1999])
def test_what_nova_did_not_sign_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(text, "viewer")


@given(st.lists(st.uuids(version=4), max_size=700, unique=True), st.uuids(version=4))
def test_a_cursor_knows_what_was_shown(shown, other) -> None:
    ids = list(map(str, shown))
    cursor = Cursor.decode(replace(CURSOR, shown=prints(ids)).encode("viewer"), "viewer")
    assert not any(cursor.not_shown(ids[-500:]))
    assert cursor.not_shown([str(other)]) == [str(other)[-8:] not in {post[-8:] for post in ids[-500:]}]
    assert len(cursor.encode("viewer")) < 4000, "what the API takes"


def test_a_changed_cursor_is_no_cursor() -> None:
    made = CURSOR.encode("viewer")
    with pytest.raises(InvalidCursor):
        Cursor.decode("A" + made[1:], "viewer")


def test_a_cursor_serves_one_viewer_only() -> None:
    with pytest.raises(InvalidCursor, match="another viewer"):
        Cursor.decode(CURSOR.encode("one"), "other")
