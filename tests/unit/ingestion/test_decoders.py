"""Captured Debezium messages become the rows that they should, and what cannot be stored says why."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import envelope
from ingestion.decoders import ROWS, FollowRow, PostRow, encode
from ingestion.decoders.base import EARLIEST, LATEST
from ingestion.errors import Halt, InvalidMessage
from nova.content import content_key
from tests.unit.ingestion.debezium import UNAVAILABLE, changes, decoded, messages

AUTHOR, OTHER = (UUID(f"0199aaaa-0000-7000-8000-00000000000{n}") for n in (1, 2))


def stored(name: str, position: int = 0, epoch: int = 0) -> list[dict]:
    """The rows as ClickHouse gets them."""
    rows = decoded(name, position, epoch).rows
    return [json.loads(line) for line in encode(rows).splitlines()]


def test_an_insert_is_one_row_with_everything_in_it():
    [row] = stored("post_insert")
    media = [{"url": "https://x/1.png", "hash": "ab", "kind": "image"}]
    assert row == {
        "id": "0199bbbb-0000-7000-8000-000000000001",
        "author_id": str(AUTHOR),
        "text": 'Grüße 🎈 "quoted"\nline',
        "media": json.dumps(media, separators=(",", ":")),
        "content_key": content_key('Grüße 🎈 "quoted"\nline', media),
        "created_at": "2026-11-23 12:33:22.583110",
        "updated_at": "2026-11-23 12:33:22.583110",
        "version": 30041952,
        "is_deleted": 0,
    }


def test_the_restore_epoch_outweighs_every_position():
    assert stored("post_insert", epoch=1)[0]["version"] == (1 << 56) + 30041952
    assert stored("post_insert", epoch=1)[0]["version"] > (1 << 56) - 1


def test_a_snapshot_row_is_older_than_a_change_at_the_same_position():
    [change, _] = changes("snapshot")
    assert change.op == "r"
    assert decoded("snapshot").rows[0].version == change.lsn - 1


def test_an_update_is_the_new_row():
    [row] = stored("post_update")
    assert (row["text"], row["is_deleted"]) == ("edited", 0)


def test_a_long_text_that_did_not_change_comes_from_the_old_row():
    assert stored("big_update_other_column")[0]["text"] == stored("big_insert")[0]["text"]


def test_a_post_that_changes_its_author_leaves_the_old_authors_list():
    gone, new = stored("post_author_change")
    assert (gone["author_id"], gone["is_deleted"]) == (str(AUTHOR), 1)
    assert (new["author_id"], new["is_deleted"]) == (str(OTHER), 0)
    assert gone["id"] == new["id"]
    # posts_cdc has one key for both: the new row must win there.
    assert gone["version"] == new["version"] - 1


@pytest.mark.parametrize("name", ["follow_key_change", "like_key_change", "post_update_id"])
def test_a_key_change_is_a_deletion_and_a_creation(name):
    first, second = changes(name)
    assert (first.op, second.op) == ("d", "c")
    assert sum(message.value() is None for message in messages(name)) == 1
    [gone], [new] = stored(name, 0), stored(name, 1)
    assert (gone["is_deleted"], new["is_deleted"]) == (1, 0)
    row_class = ROWS[first.table]
    assert [gone[k] for k in row_class.KEY] != [new[k] for k in row_class.KEY]


@pytest.mark.parametrize("name", ["follow_delete", "like_delete", "comment_delete", "block_delete"])
def test_a_deletion_is_the_old_row_marked_and_its_tombstone_nothing(name):
    [row] = stored(name)
    assert row["is_deleted"] == 1
    assert row["created_at"].startswith("2026-")
    assert len(changes(name)) == 1
    assert len(messages(name)) == 2


def test_create_and_delete_in_one_transaction_have_their_order():
    created, deleted = (decoded("two_in_one_transaction", n).rows[0] for n in (0, 1))
    assert created.version < deleted.version


def test_a_column_more_is_ignored():
    [row] = stored("schema_extra_column")
    assert row["text"] == "extra"
    assert "mood" not in row


def test_a_column_less_halts_and_names_it():
    with pytest.raises(Halt, match=r"posts\.text is missing"):
        decoded("schema_renamed")


def test_a_value_that_was_not_sent_is_never_stored():
    with pytest.raises(InvalidMessage) as error:
        decoded("toast_unavailable")
    assert (error.value.reason, error.value.field) == ("value_unavailable", "text")


def test_text_that_looks_like_a_placeholder_of_another_secret_is_text():
    change = envelope.parse(messages("toast_unavailable")[0].value(), unavailable="__another__")
    assert change is not None
    assert PostRow.from_change(change, epoch=0).rows[0].text == UNAVAILABLE


def test_a_deletion_without_its_old_row_is_refused():
    with pytest.raises(InvalidMessage, match="author_id"):
        decoded("delete_default_identity")


def test_times_at_the_edges():
    [first] = stored("early_and_late", 0)
    assert first["created_at"] == "1969-12-31 23:59:59.999999"
    for position, text in ((1, "2300-01-01"), (2, "infinity"), (3, "-0043-03-15")):
        with pytest.raises(InvalidMessage, match=text) as error:
            decoded("early_and_late", position)
        assert (error.value.reason, error.value.field) == ("bad_column", "created_at")


UUIDS = st.uuids()
TIMES = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None)).map(lambda t: t.replace(tzinfo=UTC))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
MEDIA = st.lists(
    st.dictionaries(TEXTS, TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(), max_size=3), max_size=3
)


@given(UUIDS, UUIDS, TEXTS, MEDIA, TIMES, TIMES)
def test_stream_and_backfill_make_the_same_row(id_, author, text, media, created, updated):
    """What Debezium writes for a row and what a SELECT returns for it mean the same."""

    def iso(moment: datetime) -> str:
        return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    values = {
        "id": id_,
        "author_id": author,
        "text": text,
        "media": media,
        "created_at": created,
        "updated_at": updated,
    }
    after = {
        "id": str(id_),
        "author_id": str(author),
        "text": text,
        "media": json.dumps(media),
        "created_at": iso(created),
        "updated_at": iso(updated),
    }
    change = envelope.Change(op="c", table="posts", before=None, after=after, lsn=8)
    [streamed] = PostRow.from_change(change, epoch=0).rows
    assert streamed == PostRow.from_bulk(values, version=8)
    [line] = encode([streamed]).splitlines()
    row = json.loads(line)
    assert row["text"] == text
    assert json.loads(row["media"]) == media
    assert datetime.fromisoformat(row["created_at"] + "+00:00") == created


@pytest.mark.parametrize(
    "value", ["", "x", None, 7, 1795437202, "2026-11-23", "2026-11-23T12:00:00", "2026-W12", [], {}]
)
def test_what_is_no_point_in_time_is_refused(value):
    row = {"id": str(AUTHOR), "follower_id": str(AUTHOR), "followee_id": str(OTHER), "created_at": value}
    with pytest.raises(InvalidMessage) as error:
        FollowRow.from_change(envelope.Change("c", "follows", None, row, 8), epoch=0)
    assert error.value.field == "created_at"


_DEEP = [f'[{{"a": {"[" * levels}{"]" * levels}}}]' for levels in (60, 985, 2000)]


@pytest.mark.parametrize("value", ["{}", "[1]", "[", "null", None, 5, "", '[{"a": NaN}]', *_DEEP])
def test_media_that_are_no_list_of_objects_are_refused(value):
    after = {**changes("post_insert")[0].after, "media": value}
    with pytest.raises(InvalidMessage) as error:
        PostRow.from_change(envelope.Change("c", "posts", None, after, 8), epoch=0)
    assert error.value.field == "media"


def test_an_update_from_a_row_that_could_not_be_stored_keeps_the_new_one():
    change = changes("post_update")[0]
    before = {**change.before, "created_at": "infinity"}
    [row] = PostRow.from_change(envelope.Change("u", "posts", before, change.after, 80), epoch=0).rows
    assert row.text == "edited"
