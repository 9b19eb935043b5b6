"""A database that is set back to an earlier state: PostgreSQL from a dump, ClickHouse from a copy of its folder."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from confluent_kafka import Producer

from embedded.engines.postgres import package_folder
from ingestion.contract import Event
from tests.client import wait_until
from tests.integration.alone.stack import Alone, same_soon


def tool(alone: Alone, name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs on the database."""
    program = package_folder() / "pginstall18" / "bin" / name
    command = [str(program), *arguments, alone.stack.env["DATABASE_URL"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def new_cluster(alone: Alone) -> None:
    """The server with empty hands: another cluster, whose log begins at its beginning."""
    postgres = alone.stack.engine("postgres")
    postgres.stop()
    shutil.rmtree((Path(alone.stack.var) / "postgres").resolve() / "data")
    (Path(alone.stack.var) / "postgres.role").unlink()
    postgres.start()


def position(alone: Alone) -> int:
    [(found,)] = alone.sql("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
    return int(found)


def test_postgresql_restored_from_a_dump(alone: Alone, tmp_path: Path) -> None:
    """Case 48: the restored database's positions are smaller than those of the time that was lost."""
    author, reader = alone.member(), alone.member()
    changed, deleted = alone.post(author, "as dumped"), alone.post(author)
    alone.like(reader, changed)
    same_soon(alone)
    wait_until(lambda: alone.likes(changed) == 1, "the like")
    dump = tmp_path / "nova.dump"
    tool(alone, "pg_dump", "--format=custom", f"--file={dump}", "--dbname")

    # The time that will be lost.
    for _ in range(3):
        alone.sql("CREATE TABLE IF NOT EXISTS elsewhere (filler text)")
        alone.sql("INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    alone.sql("UPDATE posts SET text = 'of the lost time' WHERE id = %s", changed)
    alone.sql("DELETE FROM posts WHERE id = %s", deleted)
    ghost = alone.post(author)
    alone.like(reader, ghost)
    wait_until(lambda: alone.text(changed) == "of the lost time" and alone.has(ghost), "the changes")
    wait_until(lambda: alone.likes(ghost) == 1, "the like of the lost time")
    end = position(alone)

    for name in ("web", "cdc", "events"):
        alone.apps.process(name).stop()
    alone.stack.engine("connect").kill()
    new_cluster(alone)
    tool(alone, "pg_restore", "--no-owner", str(dump), "--dbname")
    assert position(alone) < end
    alone.stack.engine("connect").start()

    # Without a new epoch: everything that is read now loses against the lost time.
    assert alone.manage("setup_cdc", "--resnapshot").returncode == 0
    alone.apps.restart("cdc")
    marker = alone.post(author)
    wait_until(lambda: alone.has(marker), "a post behind the snapshot")
    assert alone.text(changed) == "of the lost time", "control"
    code, found = alone.verify("--repair")
    assert (code, found["posts_cdc"]) == (1, (1, 1, 1))

    alone.apps.process("cdc").stop()
    alone.connect("PUT", "/stop")
    wait_until(lambda: alone.sql("SELECT active FROM pg_replication_slots") == [(False,)], "the slot to be free")
    bumped = alone.manage("bump_restore_epoch", "--yes", "--reason", "restored from a dump")
    assert bumped.returncode == 0, bumped.stderr
    assert alone.manage("setup_cdc", "--resnapshot").returncode == 0
    for name in ("web", "cdc", "events"):
        alone.apps.restart(name)
    wait_until(lambda: alone.text(changed) == "as dumped", "the text of the dump")
    wait_until(lambda: alone.has(deleted), "the post that was deleted later")
    code, found = alone.verify("--repair")
    assert code == 2
    assert {copy: counts[:1] + counts[2:] for copy, counts in found.items()} == dict.fromkeys(found, (0, 0))
    same_soon(alone)
    assert not alone.has(ghost)
    # The ledger is as dumped too: what it reads again counts once.
    wait_until(lambda: (alone.likes(changed), alone.likes(ghost)) == (1, 0), "the likes of the dump")
    alone.sql("UPDATE posts SET text = 'after it' WHERE id = %s", changed)
    wait_until(lambda: alone.text(changed) == "after it", "a change after the restore")
    assert alone.manage("rebuild_views", "--dry-run", "--days", "2").returncode == 0


def send(alone: Alone, count: int) -> set[UUID]:
    """Events of this moment in Kafka; their ids."""
    producer = Producer({"bootstrap.servers": alone.stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    found = set()
    for _ in range(count):
        one = Event(**_FIELDS, event_id=uuid4(), user_id=uuid4(), post_id=uuid4(), event_time=datetime.now(UTC))
        producer.produce("events", one.line(), one.key())
        found.add(one.event_id)
    assert producer.flush(20) == 0
    return found


_FIELDS: dict[str, Any] = {
    "author_id": UUID(int=0),
    "action": "view",
    "source": "client",
    "dwell_ms": 1,
    "device": "ios",
    "app_ver": "1",
}


def stored(alone: Alone, ids: set[UUID]) -> tuple[int, int]:
    """How many of these ids are there, and in how many rows."""
    asked = ", ".join(f"'{one}'" for one in ids)
    [(there, rows)] = alone.rows(f"SELECT uniqExact(event_id), count() FROM events WHERE event_id IN ({asked})")
    return there, rows


def wait_for(alone: Alone, ids: set[UUID], what: str) -> None:
    """Wait until all of these ids are there; each must be so once."""
    wait_until(lambda: stored(alone, ids)[0] == len(ids), what)
    assert stored(alone, ids) == (len(ids), len(ids)), what


def test_clickhouse_set_back_to_a_copy_of_its_folder(alone: Alone) -> None:
    """Case 15: rows that were stored, and whose offsets were passed, are gone. No consumer can notice that; reading
    the offsets again brings back exactly what is missing."""
    clickhouse, folder = alone.stack.engine("clickhouse"), Path(alone.stack.var) / "clickhouse"
    author = alone.member()
    before = send(alone, 200)
    wait_for(alone, before, "the events before")
    same_soon(alone)
    clickhouse.stop()
    shutil.copytree(folder / "data", folder / "copy", symlinks=True)
    clickhouse.start()
    gone = send(alone, 300)
    wait_for(alone, gone, "the events that will be gone")
    post = alone.post(author)
    wait_until(lambda: alone.has(post), "the post that will be gone")
    # A batch can be seen a moment before its offsets are passed; then it would be sent again.
    pending = "SELECT count(*) FROM consumer_offsets WHERE pending_lo IS NOT NULL"
    wait_until(lambda: alone.sql(pending) == [(0,)], "all offsets passed")
    clickhouse.kill()
    shutil.rmtree(folder / "data")
    os.rename(folder / "copy", folder / "data")
    clickhouse.start()

    after = send(alone, 100)
    wait_for(alone, after, "the events after")
    assert stored(alone, gone) == (0, 0), "control: their offsets were passed"
    # Stopped twice in a row below, a consumer would leave what is pending here, and it cannot be moved then.
    wait_until(lambda: alone.sql(pending) == [(0,)], "all offsets passed again")
    alone.apps.restart("events")
    assert stored(alone, gone) == (0, 0), "a restart changes nothing"

    alone.apps.process("events").stop()
    with alone.consumer("run_events_consumer", "--from-offset", "events:*:earliest", "--yes"):
        wait_for(alone, gone, "the events that were gone")
        last = send(alone, 50)
        wait_for(alone, last, "the consumer at the end")
    assert stored(alone, before | gone | after) == (600, 600)
    assert alone.manage("rebuild_views", "--dry-run", "--days", "2").returncode == 0
    code, found = alone.verify("--repair")
    assert (code, found["posts_cdc"]) == (2, (1, 0, 0))
    alone.apps.restart("events")
