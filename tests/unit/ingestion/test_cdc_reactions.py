"""What a change of a like or a comment counts as."""

from datetime import timedelta

import pytest

from ingestion import envelope, reactions
from ingestion.contract import Event
from ingestion.decoders import ROWS, LikeRow
from tests.unit.ingestion.debezium import changes, decoded, messages

AT = decoded("like_insert").new.created_at


def events(name: str, position: int = 0, *, later: timedelta = timedelta(minutes=1)) -> list[Event]:
    return reactions.events_of(decoded(name, position), now=AT + later)


def actions(*names: tuple[str, int]) -> list[str]:
    return [event.action for name, position in names for event in events(name, position)]


def test_a_like_counts_once_and_its_deletion_takes_it_back_in_the_same_hour():
    [like] = events("like_insert")
    row = decoded("like_insert").new
    assert (like.action, like.source) == ("like", "table")
    assert (like.user_id, like.post_id, like.author_id) == (row.user_id, row.post_id, row.post_author_id)
    [unlike] = events("like_key_change", 0)
    assert unlike.action == "unlike"
    assert unlike.event_time == like.event_time == row.created_at
    assert unlike.event_id != like.event_id


def test_a_repeat_has_the_same_id():
    assert events("like_insert") == events("like_insert", later=timedelta(days=3))


def test_a_snapshot_of_a_row_is_the_same_event_as_its_creation():
    change = changes("like_insert")[0]
    read = envelope.Change("r", change.table, None, change.after, change.lsn + 800)
    assert reactions.events_of(LikeRow.from_change(read, epoch=0), now=AT) == events("like_insert")


def test_a_like_moved_to_another_post_is_another_like():
    taken, made = events("like_key_change", 0) + events("like_key_change", 1)
    assert (taken.action, made.action) == ("unlike", "like")
    assert taken.post_id != made.post_id
    assert made.event_id != events("like_insert")[0].event_id
    assert events("like_delete")[0].event_id not in {taken.event_id, made.event_id}


def test_comments():
    assert actions(("comment_insert", 0), ("comment_update", 0), ("comment_delete", 0)) == ["comment", "uncomment"]


def test_a_comment_moved_to_another_post_leaves_the_first():
    change = changes("comment_update")[0]
    other = changes("like_insert")[0].after["user_id"]
    moved = envelope.Change("u", "comments", change.before, {**change.after, "post_id": other}, change.lsn)
    found = reactions.events_of(ROWS["comments"].from_change(moved, epoch=0), now=AT)
    assert [event.action for event in found] == ["uncomment", "comment"]


@pytest.mark.parametrize(("days", "count"), [(1, 1), (89, 1), (90, 0), (400, 0)])
def test_what_is_older_than_ninety_days_is_not_published(days, count):
    assert len(events("like_insert", later=timedelta(days=days))) == count


@pytest.mark.parametrize(("minutes", "count"), [(4, 1), (6, 0), (60 * 24, 0)])
def test_what_lies_ahead_is_not_published_before_its_time(minutes, count):
    assert len(events("like_insert", later=-timedelta(minutes=minutes))) == count


@pytest.mark.parametrize("name", ["post_insert", "post_update", "follow_insert", "follow_delete", "block_insert"])
def test_other_tables_count_nothing(name):
    assert events(name) == []
    assert messages(name)
