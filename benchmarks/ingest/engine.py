"""ClickHouse's own Kafka engine as a contestant: the shipped example, the same table and views, no deduplication."""

import itertools
import os
from collections.abc import Callable

from benchmarks.ingest.bench import TOPIC, Bench
from benchmarks.ingest.meters import watch
from benchmarks.ingest.result import Result
from embedded.paths import ROOT

CONSUMERS = (1, 2)
BLOCKS = (65_536, 262_144)
_groups = itertools.count(1)


def name(consumers: int, block: int) -> str:
    return f"Kafka engine, {consumers} consumer{'s' * (consumers > 1)}, blocks of {block // 1000}k"


def run(bench: Bench, consumers: int, block: int, total: int, told: Callable[[int], None]) -> Result:
    """Let the engine read the whole topic into a database of its own."""
    with bench.database() as database:
        client = bench.clickhouse(database)
        for statement in _statements(bench.servers, consumers, block):
            client.execute(statement)
        try:
            curve = watch(
                lambda: int(client.execute("SELECT count() FROM events")[0][0]),
                total,
                {"ClickHouse": [bench.pids["clickhouse"]], "Kafka": [bench.pids["kafka"]]},
                alive=lambda: True,
                told=told,
            )
        finally:
            client.execute("DROP TABLE events_kafka SYNC")
        ((stored, distinct),) = client.execute("SELECT count(), uniqExact(event_id) FROM events")
    return Result(
        name(consumers, block),
        pace=curve.pace,
        whole_pace=curve.whole_pace,
        cpu=curve.cpu_per_event(),
        points=curve.points,
        stored=stored,
        distinct=distinct,
    )


def _statements(servers: str, consumers: int, block: int) -> list[str]:
    """clickhouse_sql/optional/kafka_engine.sql with its settings chosen."""
    text = (ROOT / "clickhouse_sql" / "optional" / "kafka_engine.sql").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    wanted = {
        "{broker}": servers,
        "'events'": f"'{TOPIC}'",
        "'nova-kafka-engine'": f"'bench-engine-{os.getpid()}-{next(_groups)}'",
        "kafka_num_consumers = 1": f"kafka_num_consumers = {consumers}",
        # Each consumer fills and writes blocks of its own. A poll takes as much as one of ours does.
        "kafka_max_block_size = 262144": (
            f"kafka_max_block_size = {block}, kafka_thread_per_consumer = 1, kafka_poll_max_batch_size = 65536,"
            " kafka_flush_interval_ms = 7500"
        ),
    }
    for old, new in wanted.items():
        if old not in text:
            raise RuntimeError(f"clickhouse_sql/optional/kafka_engine.sql no longer says {old}")
        text = text.replace(old, new)
    return [part.strip() for part in text.split(";\n") if part.strip(" ;\n")]
