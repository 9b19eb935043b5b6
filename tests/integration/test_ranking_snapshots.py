"""Snapshots and cursors on a real Redis: hits, invalidation, races, and pages that neither repeat nor skip."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection

from community import selectors
from community.models import Block, Follow
from ingestion import effects
from nova import clock, generations, redis
from nova.errors import Transient
from nova.hidings import Hiding
from ranking import building, memory, pipeline, snapshot
from ranking.scoring import Weights
from ranking.snapshot import Slice, Snapshot
from tests.client import wait_until
from tests.feeds import Feeds, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.fixture
def viewer(feeds: Feeds) -> UUID:
    """Someone who follows twelve authors with five posts each."""
    viewer, authors = member(), [member() for _ in range(12)]
    feeds.follow(viewer, *authors)
    for number, author in enumerate(authors):
        feeds.posts(author, hours_ago=[1 + number + 12 * turn for turn in range(5)])
    return viewer


def ids(page: pipeline.Page) -> list[str]:
    return [post["id"] for post in page.posts]


def rest(viewer: UUID, cursor: str | None, limit: int = 7, **options) -> list[str]:
    found = []
    while cursor:
        page = pipeline.page(viewer, limit=limit, cursor=cursor, **options)
        found += ids(page)
        cursor = page.cursor
    return found


def lose(viewer: UUID, name: str) -> None:
    """What the hard TTL does to a snapshot."""
    key = snapshot.key(str(viewer), name)
    redis.cache().delete(key, f"{key}:inputs", snapshot.pointer(str(viewer), "ch"))


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


def test_pages_neither_repeat_nor_skip(viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    first = pipeline.page(viewer, limit=7)
    assert ids(first) + rest(viewer, first.cursor) == whole
    assert len(set(whole)) == 60


def test_pages_go_on_in_their_snapshot_while_new_ones_are_made(feeds: Feeds, viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    page = pipeline.page(viewer, limit=7)
    found = ids(page)
    while page.cursor:
        author = member()
        feeds.post(author, hours_ago=0)
        feeds.follow(viewer, author)
        pipeline.rank(viewer)
        page = pipeline.page(viewer, limit=7, cursor=page.cursor)
        assert not page.snapshot_replaced
        found += ids(page)
    assert found == whole


def test_when_the_snapshot_is_gone_pages_go_on_without_what_was_shown(feeds: Feeds, viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    first = pipeline.page(viewer, limit=20)
    lose(viewer, first.snapshot)
    author = member()
    new = feeds.post(author, hours_ago=0)
    feeds.follow(viewer, author)
    second = pipeline.page(viewer, limit=20, cursor=first.cursor)
    assert second.snapshot_replaced
    # What ranks above is new: it belongs to the first page.
    assert str(new) not in ids(second)
    # And once more, so that what was shown of both is known.
    lose(viewer, second.snapshot)
    third = pipeline.page(viewer, limit=20, cursor=second.cursor)
    assert third.snapshot_replaced
    found = ids(first) + ids(second) + ids(third) + rest(viewer, third.cursor)
    assert sorted(found) == sorted(whole)


@pytest.mark.parametrize("limit", [3, 20])
def test_when_nobody_remembers_what_was_shown_that_moment_is_ranked_again(
    feeds: Feeds, viewer: UUID, limit: int
) -> None:
    talkative = member()
    feeds.posts(talkative, hours_ago=[0.1, 0.2, 0.3, 0.4, 5.1, 5.2])
    feeds.follow(viewer, talkative)
    page = pipeline.page(viewer, limit=limit)
    whole, found = ids(pipeline.page(viewer, limit=100)), ids(page)
    # Diversity has moved posts: by their scores alone some would come twice, and some not at all.
    assert any(post["moved_by_diversity"] for post in pipeline.page(viewer, limit=100, explain=True).posts)
    while page.cursor:
        redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
        # Somebody has read the feed since, by the scores of now.
        pipeline.page(viewer, limit=1, now=clock.now() + timedelta(minutes=10))
        page = pipeline.page(viewer, limit=limit, cursor=page.cursor)
        assert page.snapshot_replaced
        found += ids(page)
    assert found == whole


def test_when_nobody_remembers_and_the_feed_has_changed_nothing_comes_twice_and_all_comes(
    feeds: Feeds, viewer: UUID
) -> None:
    """Whoever is deleted lets posts that diversity had moved down move up again, past the reader's place."""
    talkative = member()
    feeds.posts(talkative, hours_ago=[0.1, 0.2, 0.3, 0.4, 5.1, 5.2])
    feeds.follow(viewer, talkative)
    whole = ids(pipeline.page(viewer, limit=100))
    page = pipeline.page(viewer, limit=5)
    found, gone = ids(page), set()
    while page.cursor:
        redis.cache().delete(*redis.cache().keys(f"feed:v1:{viewer}*"))
        gone |= {found[-1], found[-4]}
        for post in (found[-1], found[-4]):
            feeds.delete(UUID(post))
        new = feeds.post(talkative, hours_ago=-0.01)
        page = pipeline.page(viewer, limit=5, cursor=page.cursor)
        assert str(new) not in ids(page)
        found += ids(page)
    assert len(found) == len(set(found))
    assert set(found) == set(whole)


def test_posts_deleted_since_are_taken_out_and_the_page_filled(viewer: UUID) -> None:
    whole = ids(pipeline.page(viewer, limit=100))
    redis.cache().zadd(snapshot.GONE, dict.fromkeys(whole[1:4], 1.0))
    page = pipeline.page(viewer, limit=10, explain=True)
    assert ids(page) == [whole[0], *whole[4:13]]
    assert all("final" in post for post in page.posts)
    assert ids(page) + rest(viewer, page.cursor) == [whole[0], *whole[4:]]


@pytest.mark.parametrize("blocked_by_viewer", [True, False])
def test_authors_hidden_since_are_taken_out_of_old_pages(feeds: Feeds, make_member, blocked_by_viewer: bool) -> None:
    viewer, hidden, others = make_member(), make_member(), [member() for _ in range(4)]
    feeds.follow(viewer, hidden, *others)
    for author in (hidden, *others):
        feeds.posts(author, hours_ago=[1.0, 2.0, 3.0, 4.0])
    whole = pipeline.page(viewer, limit=100)
    first = pipeline.page(viewer, limit=5)
    pair = (viewer, hidden) if blocked_by_viewer else (hidden, viewer)
    Block.objects.create(blocker_id=pair[0], blocked_id=pair[1])
    invalidate(viewer)
    second = pipeline.page(viewer, limit=5, cursor=first.cursor)
    assert len(second.items) == 5
    kept = [post["id"] for post in whole.posts[5:] if post["author"]["id"] != str(hidden)]
    assert ids(second) + rest(viewer, second.cursor) == kept


@pytest.mark.parametrize("was_hidden_twice", [False, True])
def test_while_postgresql_does_not_answer_redis_knows_who_was_hidden_lately(
    feeds: Feeds, make_member, monkeypatch, was_hidden_twice: bool
) -> None:
    viewer, hidden, other = make_member(), make_member(), member()
    feeds.follow(viewer, hidden, other)
    for author in (hidden, other):
        feeds.posts(author, hours_ago=[1.0, 2.0, 3.0, 4.0])
    first = pipeline.page(viewer, limit=2)
    block, mute = Hiding(viewer, hidden, uuid4()), Hiding(viewer, hidden, uuid4())
    changes = {block: True} | ({mute: True} if was_hidden_twice else {})
    effects.announce(effects.Effects(viewers={viewer}, hidings=changes), now=clock.now())

    def hang(_: UUID) -> set[UUID]:
        raise OperationalError("it does not answer")

    def authors_of_page_two() -> set[str]:
        page = pipeline.page(viewer, limit=10, cursor=first.cursor)
        return {post["author"]["id"] for post in page.posts}

    monkeypatch.setattr(selectors, "hidden_authors", hang)
    assert authors_of_page_two() == {str(other)}
    effects.announce(effects.Effects(hidings={block: False}), now=clock.now())
    assert authors_of_page_two() == ({str(other)} if was_hidden_twice else {str(other), str(hidden)})


def test_emptied_posts_are_in_no_page_any_more(feeds: Feeds, viewer: UUID) -> None:
    first = pipeline.page(viewer, limit=5)
    for post in feeds.rows:
        feeds.delete(post)
    emptied = effects.Effects()
    emptied.truncated("posts")
    effects.announce(emptied, now=clock.now())
    assert pipeline.page(viewer, limit=5, cursor=first.cursor).items == ()
    assert not redis.cache().exists(snapshot.key(str(viewer), snapshot.LAST_GOOD))
    assert pipeline.page(viewer, limit=5).items == ()


def followers_with_feeds(author: UUID, count: int, make_member, algo: str) -> list[UUID]:
    followers = [make_member() for _ in range(count)]
    for follower in followers:
        Follow.objects.create(follower_id=follower, followee_id=author)
        pipeline.page(follower, limit=5, algo=algo)
    return followers


@pytest.mark.parametrize("algo", ["ch", "time"])
def test_who_has_many_followers_leaves_room_for_those_of_others(feeds: Feeds, make_member, settings, algo) -> None:
    settings.FANOUT_BOUND = 3
    famous, other, stranger = make_member(), make_member(), make_member()
    many = followers_with_feeds(famous, 8, make_member, algo)
    few = followers_with_feeds(other, 2, make_member, algo)
    pipeline.page(stranger, limit=5, algo=algo)
    effects.announce(effects.Effects(authors={famous, other}), now=clock.now())
    told = [viewer for viewer in (*many, *few, stranger) if generations.of(viewer)]
    assert (len(set(many) & set(told)), set(told) - set(many)) == (3, set(few))


def test_of_very_many_authors_each_gets_a_part(feeds: Feeds, make_member, settings) -> None:
    settings.FANOUT_BOUND = 3
    authors = [make_member() for _ in range(6)]
    followers = [followers_with_feeds(author, 3, make_member, "ch") for author in authors]
    effects.announce(effects.Effects(authors=set(authors)), now=clock.now())
    assert [sum(map(generations.of, some)) for some in followers] == [2] * 6


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


@pytest.fixture
def ranked(monkeypatch) -> list[int]:
    """One entry for each ranking that is begun."""
    begun: list[int] = []
    gather = building.candidates.gather
    monkeypatch.setattr(building.candidates, "gather", lambda *given: begun.append(1) or gather(*given))
    return begun


def read_together(viewer: UUID, readers: int = 12) -> list[pipeline.Page]:
    start = threading.Barrier(readers)

    def read(_: int) -> pipeline.Page:
        start.wait()
        try:
            return pipeline.page(viewer, limit=5)
        finally:
            connection.close()

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(read, range(readers)))


def test_many_readers_of_one_feed_rank_it_once(viewer: UUID, ranked: list[int]) -> None:
    assert len({page.snapshot for page in read_together(viewer)}) == 1
    assert len(ranked) == 1


def test_when_the_ranking_fails_one_of_those_who_wait_makes_the_next(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 5
    gather = building.candidates.gather

    def failing(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        ranked.append(1)
        # Until the others wait.
        time.sleep(1)
        raise Transient("only this once")

    monkeypatch.setattr(building.candidates, "gather", failing)
    pages = read_together(viewer)
    # Whose ranking failed is answered in order of time.
    assert sorted(page.algorithm for page in pages) == ["ch"] * 11 + ["time"]
    assert len({page.snapshot for page in pages}) == 2
    assert len(ranked) == 2


def test_a_ranking_that_takes_longer_than_its_deadline_is_waited_for(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 2
    gather = building.candidates.gather
    monkeypatch.setattr(building.candidates, "gather", lambda *given: gather(*given) if time.sleep(2.5) is None else 0)
    assert len({page.snapshot for page in read_together(viewer)}) == 1
    assert len(ranked) == 1


def test_behind_a_ranking_that_missed_its_deadline_nobody_waits_for_another(
    viewer: UUID, ranked, monkeypatch, settings
) -> None:
    settings.CLICKHOUSE_DEADLINE = 3

    def missing(*given):
        ranked.append(1)
        time.sleep(5)
        raise Transient("too late")

    monkeypatch.setattr(building.candidates, "gather", missing)
    assert {page.algorithm for page in read_together(viewer)} == {"time"}
    assert len(ranked) == 1


def test_behind_a_ranking_that_came_late_and_does_not_serve_another_is_made(
    viewer: UUID, monkeypatch, settings
) -> None:
    """It succeeded, and the feed has changed meanwhile: nothing is wrong with ClickHouse."""
    settings.CLICKHOUSE_DEADLINE = 3
    gather = building.candidates.gather

    def overtaken(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        found = gather(*given)
        time.sleep(4)
        invalidate(viewer)
        return found

    monkeypatch.setattr(building.candidates, "gather", overtaken)
    assert {page.algorithm for page in read_together(viewer)} == {"ch"}


def test_who_waits_in_vain_for_others_is_answered_in_order_of_time(viewer: UUID, ranked, settings) -> None:
    settings.CLICKHOUSE_DEADLINE = 0.2
    assert snapshot.lock(str(viewer), "ch", 60)
    assert pipeline.page(viewer, limit=5).algorithm == "time"
    assert not ranked


@pytest.mark.parametrize("make", [lambda viewer: pipeline.page(viewer, limit=5), pipeline.rank])
def test_a_post_that_comes_while_a_feed_is_made_makes_it_anew(feeds: Feeds, make_member, monkeypatch, make) -> None:
    viewer, author = make_member(), make_member()
    Follow.objects.create(follower_id=viewer, followee_id=author)
    feeds.follow(viewer, author)
    feeds.post(author)
    gather, late = building.candidates.gather, []

    def overtaken(*given):
        monkeypatch.setattr(building.candidates, "gather", gather)
        found = gather(*given)
        late.append(str(feeds.post(author, hours_ago=0)))
        effects.announce(effects.Effects(authors={author}), now=clock.now())
        return found

    monkeypatch.setattr(building.candidates, "gather", overtaken)
    make(viewer)
    assert late[0] in [post["id"] for post in pipeline.page(viewer, limit=5).posts]


def test_how_many_posts_are_newer(feeds: Feeds, viewer: UUID) -> None:
    before = pipeline.page(viewer, limit=5)
    assert pipeline.newer(viewer, before.snapshot) == 0
    author = member()
    feeds.posts(author, hours_ago=[-0.01, 0.1, 0.2])
    feeds.follow(viewer, author)
    invalidate(viewer)
    assert pipeline.newer(viewer, before.snapshot) == 3
    lose(viewer, before.snapshot)
    redis.cache().delete(f"{snapshot.key(str(viewer), before.snapshot)}:ids")
    # Nobody remembers what it had: what is younger than it is new.
    assert pipeline.newer(viewer, before.snapshot) == 1
    with pytest.raises(ValueError, match="no snapshot"):
        pipeline.newer(viewer, "yesterday")


@pytest.mark.parametrize("size", [10, 57])
def test_what_moves_up_behind_posts_that_were_seen_is_not_newer(
    feeds: Feeds, viewer: UUID, settings, size: int
) -> None:
    """The feed is full, and others stand behind it: few, so that what was seen is in it still, or many."""
    settings.SNAPSHOT_POSTS = size
    before = pipeline.page(viewer, limit=5)
    whole = ids(pipeline.page(viewer, limit=100))
    for post in before.posts:
        feeds.act(viewer, UUID(post["id"]), "view")
    invalidate(viewer)
    after = pipeline.page(viewer, limit=100)
    assert set(ids(after)) - set(whole)
    assert pipeline.newer(viewer, before.snapshot) == 0
    author = member()
    feeds.follow(viewer, author)
    # One of the future, one that was under way, and one that the viewer could not see before.
    feeds.posts(author, hours_ago=[-0.01, 0, 0.1])
    invalidate(viewer)
    assert pipeline.newer(viewer, before.snapshot) == 2


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
