"""Whose feed a change makes stale."""

from dataclasses import replace

import pytest

from ingestion import envelope
from ingestion.decoders import ROWS, Decoded
from ingestion.effects import Effects
from nova.hidings import Hiding
from tests.unit.ingestion.debezium import changes, decoded


def effects(*names: tuple[str, int]) -> Effects:
    found = Effects()
    for name, position in names:
        found.add(decoded(name, position))
    return found


def test_a_follow_and_its_end_concern_the_follower():
    follower = decoded("follow_insert").new.follower_id
    assert effects(("follow_insert", 0)) == effects(("follow_delete", 0)) == Effects(viewers={follower})


def test_a_mute_concerns_the_muting_a_block_both():
    row = decoded("block_insert").new
    assert row.kind == "mute"
    mute = Hiding(row.blocker_id, row.blocked_id, row.id)
    assert effects(("block_insert", 0)) == Effects(viewers={row.blocker_id}, hidings={mute: True})
    change = changes("block_insert")[0]
    block = envelope.Change("c", "blocks", None, {**change.after, "kind": "block"}, 8)
    found = Effects()
    found.add(ROWS["blocks"].from_change(block, epoch=0))
    other_way = Hiding(row.blocked_id, row.blocker_id, row.id)
    assert found == Effects(viewers={row.blocker_id, row.blocked_id}, hidings={mute: True, other_way: True})


@pytest.mark.parametrize(("before", "after", "other_way"), [("mute", "block", True), ("block", "mute", False)])
def test_a_mute_that_becomes_a_block_hides_both_ways_and_back(before, after, other_way):
    row = decoded("block_insert").new
    old, new = (replace(row, kind=kind) for kind in (before, after))
    found = Effects()
    found.add(Decoded(changes("block_insert")[0], old, new, []))
    assert found.hidings == {
        Hiding(row.blocker_id, row.blocked_id, row.id): True,
        Hiding(row.blocked_id, row.blocker_id, row.id): other_way,
    }


def test_a_new_post_concerns_the_authors_followers():
    new = decoded("post_insert").new
    assert effects(("post_insert", 0)) == Effects(authors={new.author_id}, there={new.id})


def test_an_edit_concerns_nobody():
    assert effects(("post_update", 0)) == Effects()


def test_a_post_that_changes_hands_concerns_the_followers_of_both():
    change = decoded("post_author_change")
    assert effects(("post_author_change", 0)) == Effects(authors={change.old.author_id, change.new.author_id})


def test_a_deleted_post_is_hidden_at_once():
    gone = decoded("post_update_id", 0).old
    assert effects(("post_update_id", 0)) == Effects(authors={gone.author_id}, gone={gone.id})


def test_of_a_post_that_goes_and_comes_again_the_last_change_counts():
    row = decoded("post_insert").new
    insert = Decoded(changes("post_insert")[0], None, row, [])
    delete = Decoded(replace(changes("post_insert")[0], op="d"), row, None, [])
    for order, is_there in (((delete, insert), True), ((insert, delete), False), ((insert, delete, insert), True)):
        found = Effects()
        for change in order:
            found.add(change)
        assert (found.there, found.gone) == (({row.id}, set()) if is_there else (set(), {row.id}))


def test_a_snapshot_tells_nobody():
    assert effects(("snapshot", 0)) == Effects()


@pytest.mark.parametrize(
    ("table", "everyone"), [("posts", True), ("follows", True), ("blocks", True), ("likes", False), ("comments", False)]
)
def test_an_emptied_table_concerns_everyone_whose_posts_it_chose(table, everyone):
    found = Effects()
    found.truncated(table)
    assert (found.everyone, found.no_posts) == (everyone, table == "posts")
