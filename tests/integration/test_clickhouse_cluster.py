"""The schema of a cluster, on the real engine: parsed, made, written with repeated tokens, read by ranking's queries.

One server plays a cluster, as far as this build of the engine can. It makes every table as rendered, with a Keeper that
lives in its memory; but as no other host can reach it, it writes to no replicated table. So what is written and read
lies in two databases that are two shards, whose local tables are not replicated and otherwise as rendered. `ON CLUSTER`
is parsed and not carried out. Not proved: what a network, several hosts and replicas do.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from clickhouse_sql import cluster, schema
from clickhouse_sql.migrate import migrate
from clickhouse_sql.verify import differences
from embedded.engines.clickhouse import ClickHouse
from embedded.ports import assign
from embedded.process import Process
from ingestion import ledger, writer
from ingestion.errors import Halt
from ingestion.events import EventsSink
from ingestion.preflight import check_tables
from nova import clickhouse, clock
from nova.errors import Permanent
from ranking import candidates
from ranking.candidates import Gathered
from tests.apps import ROOT
from tests.feeds import Feeds, member
from tests.integration.batches import lines, messages, read
from tests.integration.ingest import Crowd

pytest_plugins = ["tests.ranking_fixtures"]

SHARDS = ("shard_1", "shard_2")
ONE_HOST, RENDERED, SPOILED = "one_host", "rendered", "spoiled"
CONFIGURATION = """
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
  <macros><shard>1</shard><replica>a</replica></macros>
  <remote_servers>
    <nova>{shards}</nova>
    <rendered><shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard></rendered>
  </remote_servers>
</clickhouse>"""
SHARD = """<shard><internal_replication>true</internal_replication><replica>
  <host>127.0.0.1</host><port>{port}</port><default_database>{database}</default_database></replica></shard>"""


class Cluster(ClickHouse):
    """One server that is a cluster `nova` of two shards, and a cluster `rendered` of one."""

    def __init__(self, var: Path, port: int, http_port: int) -> None:
        super().__init__(var, port, http_port)
        self._config, self._port = var / "clickhouse" / "config.xml", port

    def prepare(self) -> None:
        super().prepare()
        shards = "".join(SHARD.format(port=self._port, database=name) for name in SHARDS)
        ours = CONFIGURATION.format(shards=shards, port=self._port)
        self._config.write_text(self._config.read_text().replace("</clickhouse>", ours))


def use(where: dict[str, Any]) -> None:
    settings.CLICKHOUSE = where
    clickhouse._pool.cache_clear()
    clickhouse._http.cache_clear()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Where the server is, as `settings.CLICKHOUSE` says it."""
    var = tmp_path_factory.mktemp("cluster")
    ports = assign(("cluster_native", "cluster_http"), var / "ports.json")
    service = Cluster(var, ports["cluster_native"], ports["cluster_http"])
    service.prepare()
    child = Process(service.command(), environment=service.environment(), log=var / "clickhouse.log", cwd=ROOT)
    before = settings.CLICKHOUSE
    try:
        deadline = time.monotonic() + 90
        while not service.healthy():
            assert child.exit_code() is None, (var / "clickhouse.log").read_text()
            assert time.monotonic() < deadline, "ClickHouse does not answer"
            time.sleep(0.1)
        yield {
            **before,
            "host": "127.0.0.1",
            "port": ports["cluster_native"],
            "http_port": ports["cluster_http"],
            "user": "default",
            "password": "",
            "secure": False,
        }
    finally:
        use(before)
        child.signal_all(9)
        child.wait(10)


def alone(statement: str) -> str:
    """A table as rendered, but not replicated."""
    text = re.sub(r"ENGINE = Replicated(\w+)\('[^']+', '[^']+'(?:, )?", r"ENGINE = \1(", statement)
    return re.sub(r"(?<!non_)replicated_deduplication_window_seconds = \d+, ", "non_", text)


def make(
    database: str,
    name: str = "",
    *,
    over_shards: bool = True,
    replicated: bool = True,
    spoil: Callable[[str], str] = lambda statement: statement,
) -> None:
    """The declared schema in a database, for one host or as a host of the cluster `name` has it."""
    clickhouse.command(f"CREATE DATABASE {database}", database="default")
    for script in schema.declared():
        for statement in (cluster.render(script, name, everywhere=False) if name else script).statements:
            if "Distributed(" in statement:
                if not over_shards:
                    continue
                # On a real cluster each shard is another host with a database of the same name.
                statement = statement if replicated else statement.replace("currentDatabase()", "''")
            clickhouse.command(spoil(statement if replicated else alone(statement)), database=database)


def forgetful(statement: str) -> str:
    """Counters that remember few tokens."""
    if "post_counters_local" in statement:
        return statement.replace("replicated_deduplication_window = 20000", "replicated_deduplication_window = 100")
    return statement


@pytest.fixture(scope="module")
def databases(server: dict[str, Any]) -> dict[str, Any]:
    """Two shards that can be written to, entered through the first; a host as rendered; and the same for one host."""
    use({**server, "database": "default"})
    make(SHARDS[0], "nova", replicated=False)
    make(SHARDS[1], "nova", replicated=False, over_shards=False)
    make(RENDERED, RENDERED)
    make(SPOILED, RENDERED, spoil=forgetful)
    make(ONE_HOST)
    return server


@pytest.fixture
def enter(databases: dict[str, Any], patient: None) -> Iterator[Any]:
    """enter(database): from now on Nova's ClickHouse is this one."""
    before = settings.CLICKHOUSE
    yield lambda database: use({**databases, "database": database})
    use(before)


@pytest.mark.parametrize("name", ["", "nova"])
def test_the_engine_can_parse_every_statement(enter: Any, name: str) -> None:
    enter("default")
    scripts = schema.declared()
    statements = [one for script in scripts for one in (cluster.render(script, name) if name else script).statements]
    for statement in statements:
        ((formatted,),) = clickhouse.query("SELECT formatQuery({sql:String})", {"sql": statement})
        assert formatted.startswith("CREATE")
        assert ("ON CLUSTER nova" in formatted) == bool(name)


def rows(count: int, at: str) -> bytes:
    # As many as rows: by chance all of ten may live on one shard.
    users = [uuid4() for _ in range(count)]
    post, author = member(), uuid4()
    lines = [
        f'{{"event_id":"{uuid4()}","event_time":"{at}","user_id":"{users[number]}","post_id":"{post}",'
        f'"author_id":"{author}","action":"share","source":"client","dwell_ms":1500}}'
        for number in range(count)
    ]
    return "\n".join(lines).encode()


COLUMNS = ("event_id", "event_time", "user_id", "post_id", "author_id", "action", "source", "dwell_ms")
WHAT_IS_COUNTED = {
    "events": "count()",
    "event_ids": "count()",
    "post_counters": "sum(shares)",
    "post_metrics_1h": "sum(shares)",
    "user_author_90d": "sum(interactions)",
}


def counted() -> dict[str, int]:
    return {
        table: int(clickhouse.query(f"SELECT {what} FROM {table}")[0][0]) for table, what in WHAT_IS_COUNTED.items()
    }


def test_a_repeated_token_adds_nothing_on_any_shard_in_any_view(enter: Any) -> None:
    enter(SHARDS[0])
    before = counted()
    data = rows(40, Feeds().now.strftime("%Y-%m-%d %H:%M:%S.%f"))
    for _ in range(3):
        clickhouse.insert_bytes("events", COLUMNS, data, fmt="JSONEachRow", token="topic:0:1:0-39")
    assert {table: number - before[table] for table, number in counted().items()} == dict.fromkeys(WHAT_IS_COUNTED, 40)
    halves = [clickhouse.query(f"SELECT count() FROM {shard}.events_local")[0][0] for shard in SHARDS]
    assert sum(halves) >= 40
    assert all(halves)
    # The oracle bites: with another token the same rows are another batch.
    clickhouse.insert_bytes("events", COLUMNS, data, fmt="JSONEachRow", token="topic:0:2:0-39")
    assert {table: number - before[table] for table, number in counted().items()} == dict.fromkeys(WHAT_IS_COUNTED, 80)


@pytest.mark.django_db
def test_a_resend_is_left_to_the_tokens(enter: Any, claim: Any, settings: Any) -> None:
    """The copy that is asked may not have the rows yet, however long ago the server was started."""
    enter(SHARDS[0])
    settings.CLICKHOUSE_CLUSTER = "nova"
    before = counted()
    batch = messages(lines(Crowd().events(40, action="share", event_time=clock.now())))
    part, _ = claim()
    sent, token = read(batch), writer.token(part, 39)
    ledger.before(part, hi=39, kept=sent.offsets, token=token)
    writer.insert(sent.arrow_stream(part.topic_id, part.partition), token)
    for shard in SHARDS:
        lagging = f"ALTER TABLE {shard}.events_local DELETE WHERE _topic_id = '{part.topic_id}'"
        clickhouse.command(lagging, server_settings={"mutations_sync": 1})
    successor, pending = claim()
    long_ago = replace(pending, since=clock.now() - timedelta(days=30))
    EventsSink(doubt_tokens=True).redo(successor, long_ago, batch)
    assert successor.next_offset == 40
    once = dict.fromkeys(WHAT_IS_COUNTED, 40) | {"events": 0}
    assert {table: number - before[table] for table, number in counted().items()} == once


@pytest.mark.django_db
def test_every_host_is_told_again(enter: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was down or was added later gets its tables, although those of the host that is asked are there."""
    settings.CLICKHOUSE_CLUSTER = RENDERED
    enter("migrated")
    # Without Keeper nothing can be written into a replicated table, not even that a change is not needed.
    monkeypatch.setattr(schema, "changes", list)
    told: list[str] = []
    command = clickhouse.command

    def carried_out_here(statement: str, *given: Any, **named: Any) -> None:
        told.append(statement)
        command(statement.replace(f" ON CLUSTER `{RENDERED}`", ""), *given, **named)

    monkeypatch.setattr(clickhouse, "command", carried_out_here)
    reported: list[str] = []
    assert migrate(reported.append) == len(reported) > 20
    first = told.copy()
    assert differences() == []
    told.clear()
    assert migrate(pytest.fail) == 0
    assert told == first


def tell(feeds: Feeds) -> list[UUID]:
    """A small community; its viewers."""
    viewers, authors = [member() for _ in range(6)], [member() for _ in range(12)]
    posts = [post for author in authors for post in feeds.posts(author, hours_ago=[1.0, 5.0, 30.0])]
    for number, viewer in enumerate(viewers):
        feeds.follow(viewer, *authors[number : number + 6])
        for post in posts[number::7]:
            feeds.act(viewer, post, "like")
            feeds.act(viewer, post, "impression", dwell_ms=1200 * (number % 2))
        feeds.hide(viewer, authors[number], "mute")
        feeds.hide(authors[number + 6], viewer, "block")
    for post in posts[:4]:
        feeds.make_trend(post)
        feeds.delete(posts[-1 - posts.index(post)])
    return viewers


def in_one_order(known: Gathered) -> Gathered:
    """Trends of equal strength stand in either order: sums of fractions differ in the last place."""
    return replace(known, candidates=sorted(known.candidates, key=lambda candidate: candidate.post.id))


@pytest.mark.django_db
def test_ranking_finds_over_shards_what_it_finds_on_one_host(enter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = Feeds()
    told: list[tuple[Any, ...]] = []
    insert = clickhouse.insert_bytes
    monkeypatch.setattr(clickhouse, "insert_bytes", lambda *given, **named: told.append((given, named)))
    viewers = tell(feeds)
    monkeypatch.undo()
    found = []
    for database in (ONE_HOST, SHARDS[0]):
        enter(database)
        for table in ("events", "post_metrics_1h", "post_counters"):
            for one in [f"{shard}.{table}_local" for shard in SHARDS] if database in SHARDS else [table]:
                clickhouse.command(f"TRUNCATE TABLE {one}")
        for given, named in told:
            insert(*given, **named)
        if database in SHARDS:
            # What replication would do; the views fill the rest.
            for table in ("posts_cdc", "blocks_cdc"):
                clickhouse.command(f"INSERT INTO {SHARDS[1]}.{table} SELECT * FROM {SHARDS[0]}.{table}")
        found.append([in_one_order(candidates.gather(str(viewer), feeds.now)) for viewer in viewers])
    here, there = found
    assert all(len(known.candidates) > 5 for known in here)
    assert here == there


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("events", "user_id"),
        ("seen_posts", "user_id"),
        ("user_author_90d", "user_id"),
        ("follows_cdc", "follower_id"),
    ],
)
def test_what_belongs_to_one_is_asked_of_one_shard(enter: Any, table: str, column: str) -> None:
    enter(SHARDS[0])
    # The engine refuses when it would have to ask them all.
    strictly = {"force_optimize_skip_unused_shards": 2}
    sql = f"SELECT count() FROM {table} WHERE {column} = {{id:UUID}}"
    clickhouse.query(sql, {"id": uuid4()}, server_settings=strictly)
    with pytest.raises(Permanent, match="error 507"):
        clickhouse.query(
            "SELECT count() FROM post_counters WHERE post_id = {id:UUID}", {"id": uuid4()}, server_settings=strictly
        )


def test_a_consumer_looks_behind_distributed_tables(enter: Any) -> None:
    enter(RENDERED)
    check_tables(["events", "posts_cdc", "truncations"])
    enter(SPOILED)
    with pytest.raises(Halt, match="post_counters_local: replicated_deduplication_window is 100"):
        check_tables(["events"])


def test_a_host_of_a_cluster_is_verified_as_such(enter: Any, settings: Any) -> None:
    settings.CLICKHOUSE_CLUSTER = RENDERED
    enter(RENDERED)
    assert differences() == []
    enter(SPOILED)
    (found,) = differences()
    assert str(found) == "post_counters_local: setting replicated_deduplication_window is 100, wanted 20000"
