"""The invented community: the same for the same seed, and true to the rules of the real one."""

from datetime import UTC, datetime, timedelta

import pytest

from community.ids import id_at
from community.models import Block
from community.seeding import imagine

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ARGUMENTS = {"members": 40, "posts": 300, "hours": 72, "seed": 7, "now": NOW}


@pytest.fixture(scope="module")
def made():
    return imagine(**ARGUMENTS)


def test_the_same_seed_makes_the_same_community(made):
    again = imagine(**ARGUMENTS)
    assert [post.id for post in again.posts] == [post.id for post in made.posts]
    assert [like.id for like in again.likes] == [like.id for like in made.likes]
    assert [post.id for post in imagine(**ARGUMENTS | {"seed": 8}).posts] != [post.id for post in made.posts]


def test_sizes_and_names(made):
    assert (len(made.members), len(made.posts)) == (40, 300)
    assert len({member.username for member in made.members}) == 40
    assert all(member.username.isascii() and not member.has_usable_password() for member in made.members)


def test_posts_are_in_the_past_and_their_ids_in_the_same_order(made):
    assert all(NOW - timedelta(hours=72) <= post.created_at <= NOW for post in made.posts)
    ids = [post.id for post in made.posts]
    assert ids == sorted(ids)
    assert len(set(ids)) == 300


@pytest.mark.parametrize("seed", range(12))
def test_nobody_follows_or_likes_oneself_or_whom_a_block_parts(seed):
    made = imagine(**ARGUMENTS | {"seed": seed})
    apart = {frozenset((row.blocker_id, row.blocked_id)) for row in made.blocks if row.kind == Block.Kind.BLOCK}
    pairs = [(row.follower_id, row.followee_id) for row in made.follows]
    assert len(set(pairs)) == len(pairs)
    pairs += [(row.user_id, row.post.author_id) for row in (*made.likes, *made.comments)]
    assert all(one != other and frozenset((one, other)) not in apart for one, other in pairs)


def test_reactions_come_after_the_post(made):
    assert all(row.post.created_at <= row.created_at <= NOW for row in (*made.likes, *made.comments))


def test_texts_are_varied_and_some_posts_have_media(made):
    assert len({post.text for post in made.posts}) > 200
    assert 0.1 < sum(bool(post.media) for post in made.posts) / 300 < 0.6


def test_an_id_holds_its_moment():
    first, second = id_at(NOW, 2**80 - 1), id_at(NOW + timedelta(milliseconds=1), 0)
    assert first < second
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first.int >> 80 == round(NOW.timestamp() * 1000)
