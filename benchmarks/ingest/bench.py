"""The ground that every contestant stands on: one broker, one ClickHouse, a fresh database for each."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
import urllib3
from clickhouse_driver import Client
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from embedded.paths import ROOT
from embedded.ports import assign
from embedded.process import Process
from embedded.service import http_ok

PARTITIONS = 12
TOPIC = "events"
CLAIMS_SECONDS = "14400"
_numbers = count(1)


def wait_until(look: Callable[[], Any], what: str, seconds: float = 120) -> None:
    """Return when `look()` is true. Raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not seen within {seconds:.0f} s: {what}")
        time.sleep(0.05)


@dataclass
class Bench:
    """The engines: `env` names them for settings, `pids` their processes (clickhouse, kafka, redis, postgres …)."""

    env: Mapping[str, str]
    pids: Mapping[str, int]
    var: Path
    databases: list[str] = field(default_factory=list)
    partitions: int = PARTITIONS

    @property
    def servers(self) -> str:
        return self.env["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def http(self) -> tuple[str, int]:
        """Host and port of ClickHouse's HTTP interface."""
        parts = urlsplit(self.env["CLICKHOUSE_URL"])
        return str(parts.hostname), int(dict(p.split("=") for p in parts.query.split("&"))["http_port"])

    def environment(self, database: str | None = None, **more: str) -> dict[str, str]:
        """What a process of Nova gets: production's settings, perhaps a database of its own."""
        url = urlsplit(self.env["CLICKHOUSE_URL"])
        own = {} if database is None else {"CLICKHOUSE_URL": urlunsplit(url._replace(path=f"/{database}"))}
        return {
            **os.environ,
            **self.env,
            "KAFKA_PARTITIONS": str(self.partitions),
            # Contestants come one after the other: the backlog gets older than the hour that claims usually live.
            "DEDUP_TTL_SECONDS": CLAIMS_SECONDS,
            **own,
            **more,
        }

    def manage(self, *command: str, database: str | None = None) -> None:
        """Run `manage.py`. Raises RuntimeError with what it said."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            cwd=ROOT,
            env=self.environment(database),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    def process(self, name: str, *command: str, env: Mapping[str, str]) -> Process:
        """Start a process of Nova; it ends when we do."""
        return Process(list(command), environment=env, log=self.var / "log" / f"bench-{name}.log")

    @contextmanager
    def cdc_consumer(self, database: str) -> Iterator[None]:
        """`run_cdc_consumer` into a ClickHouse database, ready. Raises RuntimeError when it ended by itself."""
        (port,) = self.ports("cdc")
        environment = self.environment(database, HEALTH_PORT=str(port))
        child = self.process("cdc", sys.executable, "manage.py", "run_cdc_consumer", env=environment)
        try:
            wait_until(lambda: child.exit_code() is not None or http_ok(f"http://127.0.0.1:{port}/healthz"), "CDC")
            yield
            if child.exit_code() is not None:
                raise RuntimeError(f"the CDC consumer ended; its log lies in {self.var / 'log'}")
        finally:
            child.signal(15)
            child.wait(40)
            child.signal_all(9)

    def ports(self, *names: str) -> list[int]:
        """Free ports, the same for the same name each time."""
        chosen = assign(tuple(f"bench-{name}" for name in names), self.var / "bench-ports.json")
        return [chosen[f"bench-{name}"] for name in names]

    # Stores -----------------------------------------------------------------------------------------------------------

    def clickhouse(self, database: str = "default") -> Client:
        """A connection of one's own."""
        url = urlsplit(self.env["CLICKHOUSE_URL"])
        user = url.username or "default"
        return Client(host=url.hostname, port=url.port, user=user, password=url.password or "", database=database)

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new ClickHouse database with every table and view of Nova; dropped at the end, and its merges with it."""
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        self.manage("migrate_clickhouse", database=name)
        try:
            yield name
        finally:
            self.clickhouse().execute(f"DROP DATABASE IF EXISTS {name} SYNC")

    def postgres(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.env["DATABASE_URL"], autocommit=True)

    def forget_claims(self) -> None:
        """Empty Redis, and let it look as if it had run for long: else each event of the backlog is looked up in
        ClickHouse, since its claim might have been lost."""
        client = redis.Redis.from_url(self.env["REDIS_URL"], socket_timeout=120)
        client.flushall()
        run = str(client.info("server")["run_id"])
        client.hset("dedup-sentinel", mapping={"run": run, "since": "0", "life": CLAIMS_SECONDS})

    # Kafka ------------------------------------------------------------------------------------------------------------

    def new_topics(self, partitions: int = PARTITIONS) -> None:
        """`events` anew: empty, in so many partitions, and with an id that no ledger knows."""
        self.partitions = partitions
        admin = AdminClient({"bootstrap.servers": self.servers})
        ours = [name for name in admin.list_topics(timeout=10).topics if name == TOPIC]
        for gone in admin.delete_topics(ours, operation_timeout=30).values() if ours else ():
            gone.result()
        wait_until(lambda: TOPIC not in admin.list_topics(timeout=10).topics, "the old topic gone")
        self.manage("migrate_topics")

    def messages(self) -> int:
        """How many events lie in the topic."""
        client = Consumer({"bootstrap.servers": self.servers, "group.id": "bench-look"})
        try:
            found = [client.get_watermark_offsets(TopicPartition(TOPIC, n), timeout=30) for n in range(self.partitions)]
        finally:
            client.close()
        return sum(high - low for low, high in found)


def http_pool(bench: Bench) -> urllib3.HTTPConnectionPool:
    """A connection to ClickHouse's HTTP interface that is kept open."""
    host, port = bench.http
    return urllib3.HTTPConnectionPool(host, port, maxsize=2, retries=False, timeout=300)
