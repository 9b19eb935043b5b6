"""Snapshots on a real Redis: hits, invalidation, late rebuilds, and how many of them a reader has."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from community.models import Post
from ingestion import effects
from nova import clock, redis
from ranking import building, memory, pipeline, snapshot
from ranking.scoring import Weights
from ranking.snapshot import Slice, Snapshot
from tests.client import wait_until
from tests.feeds import Feeds, ids, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]


def last_good(viewer: UUID) -> str:
    found = snapshot.read(str(viewer), algorithm="ch", snapshot=snapshot.LAST_GOOD, limit=0)
    assert isinstance(found, Slice)
    return found.about.snapshot


def test_the_second_read_is_a_hit_of_the_same_snapshot(viewer: UUID) -> None:
    first, second = pipeline.page(viewer, limit=20), pipeline.page(viewer, limit=20)
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert (first.snapshot, first.items) == (second.snapshot, second.items)
    assert redis.cache().ttl(snapshot.pointer(str(viewer), "ch")) > 0


def test_an_invalidated_feed_is_made_anew_at_once(feeds: Feeds, viewer: UUID) -> None:
    before = pipeline.page(viewer, limit=100)
    author = member()
    post = feeds.post(author, hours_ago=0)
    feeds.follow(viewer, author)
    assert ids(pipeline.page(viewer, limit=100)) == ids(before)
    invalidate(viewer)
    after = pipeline.page(viewer, limit=100)
    assert not after.cache_hit
    assert ids(after)[0] == str(post)


def test_past_its_soft_age_a_snapshot_is_served_while_a_new_one_is_made(feeds: Feeds, viewer: UUID) -> None:
    old = pipeline.page(viewer, limit=5, now=feeds.now - timedelta(minutes=5))
    served = pipeline.page(viewer, limit=5)
    assert served.cache_hit
    assert served.snapshot == old.snapshot
    wait_until(lambda: pipeline.page(viewer, limit=5).snapshot != old.snapshot, "the new snapshot")


def test_other_weights_make_a_feed_anew(viewer: UUID, settings) -> None:
    before = pipeline.page(viewer, limit=5)
    settings.RANKING_VERSION = "another"
    after = pipeline.page(viewer, limit=5)
    assert not after.cache_hit
    assert after.snapshot != before.snapshot


def test_a_slow_rebuild_does_not_overwrite_a_newer_generation(viewer: UUID) -> None:
    name = str(viewer)
    slow = building.build(name, "ch", pipeline.clock.now())
    invalidate(viewer)
    newer = pipeline.page(viewer, limit=5)
    assert not snapshot.keep(name, replace(slow, about=replace(slow.about, snapshot="f" * 20)))
    assert last_good(viewer) == newer.snapshot
    again = pipeline.page(viewer, limit=5)
    assert again.cache_hit
    assert again.snapshot == newer.snapshot


@pytest.mark.django_db
def test_a_slow_rebuild_in_order_of_time_is_no_newer_last_good(viewer: UUID) -> None:
    """It has a pointer of its own, so nothing but the last good one tells that it comes late."""
    slow = building.make(str(viewer), "time", pipeline.clock.now(), generation=0)
    invalidate(viewer)
    newer = pipeline.page(viewer, limit=5)
    snapshot.keep(str(viewer), slow)
    assert last_good(viewer) == newer.snapshot
    assert pipeline.page(viewer, limit=5, algo="time").snapshot != slow.about.snapshot
    assert last_good(viewer) != newer.snapshot


def test_of_two_rebuilds_of_one_generation_the_later_begun_stays(feeds: Feeds, viewer: UUID) -> None:
    def made(minutes: int) -> Snapshot:
        now = feeds.now + timedelta(minutes=minutes)
        return Snapshot.made([], algorithm="ch", generation=0, weights=Weights.configured(), now=now)

    assert snapshot.keep(str(viewer), made(1))
    assert not snapshot.keep(str(viewer), made(0))
    assert snapshot.keep(str(viewer), made(2))


def test_a_generation_that_was_forgotten_blocks_nothing(viewer: UUID) -> None:
    invalidate(viewer)
    pipeline.page(viewer, limit=5)
    redis.cache().delete(f"gen:v1:{viewer}")
    assert not pipeline.page(viewer, limit=5).cache_hit
    assert pipeline.page(viewer, limit=5).cache_hit


def kept(viewer: UUID, ending: bytes = b"") -> set[str]:
    """The snapshots of which there is the list, or the ids."""
    keys = (
        key.removeprefix(b"feed:v1:%s:" % str(viewer).encode()) for key in redis.cache().keys(f"feed:v1:{viewer}:*")
    )
    names = (key.removesuffix(ending).decode() for key in keys if key.endswith(ending))
    return {name for name in names if len(name) == 20}


def test_a_reader_takes_no_more_than_so_many_snapshots(viewer: UUID, settings) -> None:
    settings.SNAPSHOTS_KEPT = 2

    def first_page() -> str:
        invalidate(viewer)
        return pipeline.page(viewer, limit=5).snapshot

    first = pipeline.page(viewer, limit=20)
    whole = ids(pipeline.page(viewer, limit=100))
    second = pipeline.rank(viewer)
    # Whoever pages in one keeps it: it is the other that goes.
    page = pipeline.page(viewer, limit=20, cursor=first.cursor)
    third = pipeline.rank(viewer)
    assert kept(viewer) == kept(viewer, b":inputs") == {first.snapshot, third}
    made = [first_page() for _ in range(20)]
    assert kept(viewer) == kept(viewer, b":inputs") == set(made[-2:])
    assert kept(viewer, b":ids") == set(made[-8:])
    assert second not in kept(viewer, b":ids")
    # And who still pages in it goes on.
    last = pipeline.page(viewer, limit=20, cursor=page.cursor)
    assert last.snapshot_replaced
    assert ids(first) + ids(page) + ids(last) == whole


@pytest.mark.parametrize("explain", [False, True])
def test_feeds_that_nobody_read_take_nothing_from_who_reads(viewer: UUID, settings, explain: bool) -> None:
    """An event stream looks, and a feed is made, whenever a followee posts."""
    settings.SNAPSHOTS_KEPT = 2
    assert pipeline.rank(viewer)
    if explain:
        first = pipeline.page(viewer, limit=20, explain=True)
        cursor = first.cursor
    else:
        # As most readers ask.
        found = pipeline.ready(viewer, limit=20, algo=None)
        assert found
        assert found.ready
        cursor = found.ready.cursor
    for _ in range(20):
        invalidate(viewer)
        assert pipeline.changes(viewer).snapshot
        assert len(kept(viewer)) <= 2
    assert kept(viewer, b":inputs") == kept(viewer)
    assert len(kept(viewer, b":ids")) <= 8
    assert not pipeline.page(viewer, limit=20, cursor=cursor).snapshot_replaced
    assert redis.cache().ttl(snapshot.key(str(viewer), memory.KEPT)) > 0


def test_the_list_of_what_is_kept_ends_with_the_last_snapshot(viewer: UUID) -> None:
    first = pipeline.page(viewer, limit=5)
    pipeline.page(viewer, limit=5, cursor=first.cursor)
    assert redis.cache().ttl(snapshot.key(str(viewer), memory.KEPT)) > 0


def test_the_last_good_head_is_kept_for_outages(viewer: UUID) -> None:
    page = pipeline.page(viewer, limit=100, explain=True)
    last = snapshot.read(str(viewer), algorithm="ch", snapshot=snapshot.LAST_GOOD, limit=100, explain=True)
    assert isinstance(last, snapshot.Slice)
    assert tuple(entry.explained for entry in last.entries) == page.items[:50]
    assert redis.cache().ttl(snapshot.key(str(viewer), snapshot.LAST_GOOD)) > 3600


def test_a_viewer_without_anything_gets_an_empty_feed_from_the_cache_too(feeds: Feeds) -> None:
    nobody = uuid4()
    for hit in (False, True):
        page = pipeline.page(nobody, limit=5)
        assert (page.items, page.has_more, page.cursor, page.cache_hit) == ((), False, None, hit)


def test_what_was_deleted_stays_out_of_the_last_good_feed(viewer: UUID, settings) -> None:
    first, *rest = ids(pipeline.page(viewer, limit=20))
    effects.announce(effects.Effects(gone={UUID(first)}), now=clock.now())
    # Another deletion, long after every snapshot of the first post's time: what is too old is tidied away.
    later = clock.now() + timedelta(seconds=settings.LAST_GOOD_SECONDS - 60)
    effects.announce(effects.Effects(gone={uuid4()}), now=later)
    last = snapshot.read(str(viewer), algorithm="ch", snapshot=snapshot.LAST_GOOD, limit=19)
    assert isinstance(last, snapshot.Slice)
    assert [entry.id for entry in last.entries] == rest
    assert redis.cache().ttl(snapshot.GONE) > settings.SNAPSHOT_HARD_SECONDS


def test_a_post_that_comes_again_under_its_id_is_in_kept_feeds_again(feeds: Feeds, viewer: UUID, make_member) -> None:
    """As after an import that deletes the rows and inserts them."""
    first, *rest = ids(pipeline.page(viewer, limit=20))

    def kept_feed(page_of_head: bool) -> list[str]:
        if not page_of_head:
            return ids(pipeline.page(viewer, limit=19))
        found = pipeline.ready(viewer, limit=19, algo=None)
        assert found
        assert found.ready
        return [post["id"] for post in orjson.loads(b"[%b]" % found.ready.posts)]

    effects.announce(effects.Effects(gone={UUID(first), uuid4()}), now=clock.now())
    assert kept_feed(True) == kept_feed(False) == rest
    announced = effects.Effects(there={UUID(first), uuid4()})
    effects.announce(announced, now=clock.now())
    assert kept_feed(True) == kept_feed(False) == rest, "its insert was read again, and it is still deleted"
    Post.objects.create(id=UUID(first), author_id=make_member(), text="again")
    effects.announce(announced, now=clock.now())
    assert kept_feed(True) == kept_feed(False) == [first, *rest[:-1]]
