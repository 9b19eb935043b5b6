"""Paging through a feed while the community is at work: nothing comes twice, is left out, or is shown though hidden.

200 members page through their whole feeds, all at the same time and page by page. Meanwhile authors post, members
follow, block and delete, and every change makes feeds anew; snapshots are lost to their age, and Redis is killed once.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from uuid import UUID

import pytest

from nova import generations, redis
from ranking import cache, snapshot
from tests.apps import running_apps
from tests.client import Api, wait_until
from tests.world import World

VIEWERS, AUTHORS, POSTS_EACH, FOLLOWED = 200, 40, 5, 12
PAGE = 10


@dataclass
class Reader:
    """A member who pages through their feed. expected: the ids of the snapshot they began with; `hidden`: authors they
    have blocked by now; `offset_ids`: what they would have seen by offset, page after page of the newest ranking."""

    id: UUID
    cursor: str | None = None
    expected: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    done: bool = False
    replaced: bool = False
    by_offset: list[str] = field(default_factory=list)


class Community:
    """Who writes, and what has been taken away so far; each change is noted when the copy of it has arrived."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.authors = [world.member() for _ in range(AUTHORS)]
        self.readers = [Reader(world.member()) for _ in range(VIEWERS)]
        self.author_of: dict[str, str] = {}
        for author in self.authors:
            for number in range(POSTS_EACH):
                self._post(author, hours_ago=1 + number * 9 + self.random.random())
        for reader in self.readers:
            for author in self.random.sample(self.authors, FOLLOWED):
                world.follow(reader.id, author)
        self.gone: set[str] = set()
        self.done = {"posts": 0, "follows": 0, "blocks": 0, "deletions": 0}

    def _post(self, author: UUID, hours_ago: float = 0) -> str:
        post = str(self.world.post(author, hours_ago=hours_ago))
        self.author_of[post] = str(author)
        return post

    def wait_copied(self) -> None:
        ids = ", ".join(f"'{reader.id}'" for reader in self.readers)
        wanted = VIEWERS * FOLLOWED
        wait_until(
            lambda: self.world.count(f"follows_cdc FINAL WHERE follower_id IN ({ids})") == wanted,
            "the copies of the follows",
        )
        posts = ", ".join(f"'{post}'" for post in self.author_of)
        wait_until(
            lambda: self.world.count(f"posts_cdc FINAL WHERE id IN ({posts})") == len(self.author_of), "the posts"
        )

    def act(self) -> None:
        """One change of each kind, known to the readers' feeds when this returns."""
        self._post(self.random.choice(self.authors))
        self.done["posts"] += 1
        follower = self.random.choice(self.readers)
        self.world.sql(
            "INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            follower.id,
            self.random.choice(self.authors),
        )
        self.done["follows"] += 1
        self._block(self.random.choice(self.readers))
        self._delete(self.random.choice(sorted(self.author_of)))

    def _block(self, reader: Reader) -> None:
        author = str(self.random.choice(self.authors))
        before = generations.of(reader.id)
        if self.world.sql(
            "INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'block') ON CONFLICT DO NOTHING",
            reader.id,
            UUID(author),
        ):
            wait_until(lambda: generations.of(reader.id) != before, "the block in the reader's feed")
            reader.hidden.add(author)
            self.done["blocks"] += 1

    def _delete(self, post: str) -> None:
        if self.world.sql("DELETE FROM posts WHERE id = %s", UUID(post)):
            wait_until(lambda: redis.cache().zscore(snapshot.GONE, post) is not None, "the deletion in the feeds")
            self.gone.add(post)
            self.done["deletions"] += 1


@pytest.fixture
def community(world: World) -> Community:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    made = Community(world, seed)
    made.wait_copied()
    return made


@contextmanager
def active(act: Callable[[], None]) -> Iterator[Lock]:
    """`act` again and again beside the block, but not while its lock is held. Faults are raised at the end."""
    over, pause, faults = Event(), Lock(), []

    def work() -> None:
        try:
            while not over.wait(0.05):
                with pause:
                    act()
        except BaseException as fault:
            faults.append(fault)

    thread = Thread(target=work)
    thread.start()
    try:
        yield pause
    finally:
        over.set()
        thread.join()
    if faults:
        raise faults[0]


class Paging:
    """Every reader's next page, all at once, with what must be true of each page as it comes."""

    def __init__(self, api: Api, community: Community) -> None:
        self._api, self._community = api, community
        self._pool = ThreadPoolExecutor(8)
        self.wrong: list[str] = []
        self.pages = 0

    def turn(self, readers: list[Reader]) -> None:
        list(self._pool.map(self._turn, readers))
        self.pages += len(readers)

    def _turn(self, reader: Reader) -> None:
        # What had gone before the call was made must not come.
        gone, hidden = set(self._community.gone), set(reader.hidden)
        query = f"limit={PAGE}" + (f"&cursor={reader.cursor}" if reader.cursor else "")
        page = self._api.feed(reader.id, query)
        ids = [post["id"] for post in page["posts"]]
        if reader.cursor is None:
            reader.expected = snapshot.ids(str(reader.id), page["snapshot"]) or []
        for post in page["posts"]:
            if post["id"] in gone or post["author"]["id"] in hidden:
                self.wrong.append(f"{reader.id} was shown {post['id']}, which was hidden from them before")
        reader.replaced |= page["snapshot_replaced"]
        reader.shown += ids
        reader.cursor, reader.done = page["cursor"], not page["has_more"]
        self._offset_too(reader)

    def _offset_too(self, reader: Reader) -> None:
        """The control: the same page by its offset in whatever the feed is at the moment."""
        start = len(reader.by_offset)
        whole = [post["id"] for post in self._api.feed(reader.id)["posts"]]
        reader.by_offset += whole[start : start + PAGE]

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def paging(prepared: Any, community: Community) -> Iterator[Paging]:
    """Through a web server that waits for a busy ClickHouse. Feeds in order of time come in another order, so one who
    changes to them while nobody remembers what was shown may see posts twice: that is another matter than paging."""
    patient = {"CLICKHOUSE_DEADLINE_SECONDS": "10"}
    with running_apps(prepared.env, Path(prepared.var) / "paging", ["web"], overrides=patient) as own:
        made = Paging(Api(own.url, prepared.env["JWT_SECRET"]), community)
        yield made
        made.close()


def lose_snapshot(reader: Reader) -> None:
    """What the hard TTL does: the snapshots are gone, what they held is still remembered."""
    client = redis.cache()
    keys = [key for key in client.scan_iter(f"feed:v1:{reader.id}*") if not key.endswith(b":ids")]
    client.delete(*keys)


def faults(reader: Reader, shown: list[str], taken: set[str]) -> tuple[list[str], list[str]]:
    """(repeated, skipped) of what the reader was shown; taken: what need not be shown any more."""
    repeated = sorted({post for post in shown if shown.count(post) > 1})
    skipped = [post for post in reader.expected if post not in shown and post not in taken]
    return repeated, skipped


def test_200_members_page_while_the_community_is_active(community: Community, paging: Paging, stack: Any) -> None:
    readers = community.readers
    with active(community.act) as pause:
        turn = 0
        while going := [reader for reader in readers if not reader.done]:
            turn += 1
            if turn == 3:
                for reader in going[::4]:
                    lose_snapshot(reader)
            if turn == 4:
                with pause:
                    redis_dies(stack, partial(paging.turn, going))
            else:
                paging.turn(going)
    assert all(community.done.values()), community.done
    assert paging.wrong == []

    strict, by_offset = 0, 0
    for reader in readers:
        taken = {
            post for post in reader.expected if post in community.gone or community.author_of.get(post) in reader.hidden
        }
        assert faults(reader, reader.shown, taken) == ([], []), reader
        if not reader.replaced:
            assert [post for post in reader.expected if post in reader.shown] == reader.shown
            strict += 1
        by_offset += faults(reader, reader.by_offset, taken) != ([], [])
    print(f"{paging.pages} pages, {community.done}; {strict} stayed in a snapshot; by offset {by_offset} went wrong")
    assert strict > VIEWERS / 2
    # The oracle bites: by offset in the newest ranking the same readers see posts twice or not at all.
    assert by_offset > VIEWERS / 4


def redis_dies(stack: Any, meanwhile: Callable[[], None]) -> None:
    """Redis is killed in the middle of `meanwhile`, and started again."""
    thread = Thread(target=meanwhile)
    thread.start()
    stack.engine("redis").kill()
    stack.engine("redis").start()
    thread.join()
    cache.reset()
