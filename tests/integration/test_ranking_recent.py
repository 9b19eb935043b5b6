"""The counts of recent posts in ClickHouse's memory: a feed has the right ones from there, and without them."""

from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as configured
from django.core.management import call_command

from clickhouse_sql import memory
from nova import clickhouse, redis
from nova.errors import Permanent
from ranking import pipeline, queries, recent
from tests.client import wait_until
from tests.feeds import Feeds, member

pytest_plugins = ["tests.ranking_fixtures"]

LONG = 3600.0


class Reader:
    """A viewer, whom they follow, and what ClickHouse is asked for their feed."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds, self.viewer, self.author = feeds, member(), member()
        self.asked: list[str] = []
        # The posts whose counts the table was asked for.
        self.looked_up: set[str] = set()
        feeds.follow(self.viewer, self.author)

    def liked(self, times: int = 1, **fields: Any) -> UUID:
        """A new post of the author's with so many likes."""
        post = self.feeds.post(self.author, **fields)
        self.feeds.act(member(), post, "like", times=times)
        return post

    def likes(self) -> dict[UUID, int]:
        """The likes in the viewer's feed, ranked anew, by post."""
        self.asked.clear()
        self.looked_up.clear()
        pipeline.rank(self.viewer, self.feeds.now)
        page = pipeline.page(self.viewer, limit=100, now=self.feeds.now)
        assert page.algorithm == "ch"
        return {UUID(post["id"]): post["counts"]["likes"] for post in page.posts}

    def has(self, likes: dict[UUID, int], *, from_memory: bool) -> bool:
        return self.likes() == likes and (not self.looked_up) == from_memory


@pytest.fixture
def reader(feeds: Feeds, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """What the server holds is looked at for each feed."""
    settings.COUNTS_MEMORY_SECONDS = LONG
    monkeypatch.setattr(recent, "_LOOK_SECONDS", 0.0)
    reader, ask = Reader(feeds), clickhouse.query

    def query(sql: str, *given: Any, **named: Any) -> list[Any]:
        reader.asked.append(sql)
        if sql == queries.sql("counters"):
            reader.looked_up |= {identifier for (identifier,) in named["tables"]["asked"][1]}
        return ask(sql, *given, **named)

    monkeypatch.setattr(clickhouse, "query", query)
    yield reader
    settings.COUNTS_MEMORY_SECONDS = LONG
    memory.renew()


def state() -> str:
    """What the server says of the dictionary; "" when there is none."""
    found = clickhouse.query(
        "SELECT status FROM system.dictionaries WHERE database = currentDatabase() AND name = 'recent_counts'"
    )
    return found[0][0] if found else ""


def held() -> recent.Memory:
    return recent.Memory(*clickhouse.query(queries.sql("recent_counts"), {"late": 0})[0])


def test_counts_are_taken_from_memory_until_they_are_too_old(reader: Reader, settings: Any) -> None:
    post = reader.liked()
    memory.renew()
    assert reader.has({post: 1}, from_memory=True)
    reader.feeds.act(member(), post, "like")
    # Not known there yet, which is no older than is said to be bearable.
    assert reader.has({post: 1}, from_memory=True)
    settings.COUNTS_MEMORY_SECONDS = 0.5
    wait_until(lambda: reader.has({post: 2}, from_memory=False), "counts that are too old")
    wait_until(lambda: reader.has({post: 2}, from_memory=True), "them loaded by who found them old")


def test_while_nothing_is_counted_they_are_right_however_old(
    reader: Reader, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "_LATE_SECONDS", 0)
    post = reader.liked()
    memory.renew()

    def unchanged() -> bool:
        # Times are whole seconds: only in a later one nothing can have been counted since.
        memory.load()
        return not held().changed

    wait_until(unchanged, "a later second")
    settings.COUNTS_MEMORY_SECONDS = 0.5
    wait_until(lambda: held().age > 1, "counts that would be too old")
    loads: list[None] = []
    monkeypatch.setattr(memory, "load", lambda: loads.append(None))
    for _ in range(3):
        assert reader.has({post: 1}, from_memory=True)
    assert not loads


def test_of_other_posts_the_table_knows(reader: Reader, settings: Any) -> None:
    settings.FOLLOWEE_HOURS = 24 * 30
    new, old = reader.liked(), reader.liked(2, hours_ago=24 * 10)
    # An id that does not say when its post was made.
    foreign = uuid4()
    reader.feeds.rows[foreign] = reader.feeds.rows[new] | {"id": foreign, "text": "elsewhere", "content_key": 0}
    reader.feeds.insert("posts_cdc", reader.feeds.rows[foreign])
    reader.feeds.act(member(), foreign, "like", times=3)
    memory.renew()
    assert reader.likes() == {new: 1, old: 2, foreign: 3}
    assert reader.looked_up == {str(old), str(foreign)}


def test_a_week_of_posts_is_in_memory(reader: Reader, settings: Any) -> None:
    settings.FOLLOWEE_HOURS = 168
    posts = {reader.liked(hours_ago=hours): 1 for hours in (0, 24, 100, 167.9)}
    memory.renew()
    assert reader.has(posts, from_memory=True)


def test_posts_that_the_server_cuts_bring_their_counts(reader: Reader, settings: Any) -> None:
    settings.CANDIDATES_PER_SOURCE = 2
    posts = [reader.liked(hours_ago=number) for number in range(16)]
    for post in posts[:14]:
        reader.feeds.act(reader.viewer, post, "view")
    memory.renew()
    assert reader.has({posts[14]: 1, posts[15]: 1}, from_memory=True)
    assert queries.sql("by_authors_cut", "recent_counts") in reader.asked


def test_nothing_is_in_memory_yet(reader: Reader) -> None:
    """As after a restart of the server: nobody waits for it."""
    post = reader.liked()
    clickhouse.command(memory.statement(configured.CLICKHOUSE))
    redis.cache().delete(recent.LOADING)
    assert reader.has({post: 1}, from_memory=False)
    wait_until(lambda: reader.has({post: 1}, from_memory=True), "it loaded by who missed it")


def test_it_cannot_be_loaded(reader: Reader) -> None:
    post = reader.liked()
    clickhouse.command(memory.statement(configured.CLICKHOUSE).replace("post_counters", "nothing_like_it"))
    redis.cache().delete(recent.LOADING)
    assert reader.has({post: 1}, from_memory=False)
    wait_until(lambda: state() == "FAILED", "the load that fails")
    assert reader.has({post: 1}, from_memory=False)
    call_command("migrate_clickhouse", stdout=StringIO())
    assert reader.has({post: 1}, from_memory=True)


def test_it_cannot_be_loaded_again(reader: Reader, settings: Any) -> None:
    """What it held serves only while it is young: nobody knows what was counted since."""
    post = reader.liked()
    clickhouse.command("CREATE TABLE other_counters AS post_counters")
    clickhouse.command("INSERT INTO other_counters SELECT * FROM post_counters")
    clickhouse.command(memory.statement(configured.CLICKHOUSE).replace("post_counters", "other_counters"))
    clickhouse.command(memory.RELOAD)
    assert reader.has({post: 1}, from_memory=True)
    anyway = {"check_table_dependencies": 0, "check_referential_table_dependencies": 0}
    clickhouse.command("DROP TABLE other_counters SYNC", server_settings=anyway)
    reader.feeds.act(member(), post, "like")
    settings.COUNTS_MEMORY_SECONDS = 0.5
    wait_until(lambda: reader.has({post: 2}, from_memory=False), "counts that are too old")
    for _ in range(3):
        redis.cache().delete(recent.LOADING)
        assert reader.has({post: 2}, from_memory=False)
    wait_until(lambda: state() == "LOADED", "the end of the last try")


def test_there_is_none(reader: Reader, settings: Any) -> None:
    post = reader.liked()
    clickhouse.command(memory.DROP)
    assert reader.has({post: 1}, from_memory=False)
    call_command("migrate_clickhouse", stdout=StringIO())
    assert reader.has({post: 1}, from_memory=True)
    settings.COUNTS_MEMORY_SECONDS = 0
    call_command("migrate_clickhouse", stdout=StringIO())
    assert state() == ""
    assert reader.has({post: 1}, from_memory=False)


def test_it_is_dropped_while_readers_count_on_it(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_LOOK_SECONDS", LONG)
    post = reader.liked()
    memory.renew()
    assert reader.has({post: 1}, from_memory=True)
    clickhouse.command(memory.DROP)
    assert reader.has({post: 1}, from_memory=False)
    memory.renew()
    recent.forget()
    assert reader.has({post: 1}, from_memory=True)


def test_the_server_does_not_say_what_it_holds(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server does that shows its system tables to few; the embedded one has no users to refuse."""
    post = reader.liked()
    memory.renew()
    ask = clickhouse.query

    def query(sql: str, *given: Any, **named: Any) -> list[Any]:
        if sql == queries.sql("recent_counts"):
            raise Permanent("ClickHouse error 497: not enough privileges")
        return ask(sql, *given, **named)

    with monkeypatch.context() as refusing:
        refusing.setattr(clickhouse, "query", query)
        for _ in range(2):
            assert reader.has({post: 1}, from_memory=False)
    recent.forget()
    assert reader.has({post: 1}, from_memory=True)


def test_one_that_is_as_declared_is_loaded_and_not_replaced(reader: Reader) -> None:
    """A new one would make all readers wait until it is loaded."""

    def made() -> Any:
        sql = "SELECT uuid FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
        return clickhouse.query(sql, {"name": memory.NAME})

    memory.renew()
    before, post = made(), reader.liked()
    call_command("migrate_clickhouse", stdout=StringIO())
    assert made() == before
    assert reader.has({post: 1}, from_memory=True)
    clickhouse.command(memory.statement(configured.CLICKHOUSE | {"user": "somebody"}))
    call_command("migrate_clickhouse", stdout=StringIO())
    assert made() != before
    assert reader.has({post: 1}, from_memory=True)
