"""How fast each half could be alone: reading Kafka without looking, inserting without reading."""

import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.ingest.bench import PARTITIONS, TOPIC, Bench, http_pool
from benchmarks.ingest.load import Crowd
from benchmarks.ingest.meters import cpu_seconds
from benchmarks.ingest.result import Result
from ingestion import columns
from nova.clickhouse import INSERT_SETTINGS

BLOCK = 65_536
_BLOCKS = 4
_FORMATS = ("ArrowStream", "JSONEachRow")


def consume_only(bench: Bench, total: int, told: Callable[[int], None]) -> Result:
    """Read every message as our consumer polls, and drop it."""
    client = Consumer(
        {
            "bootstrap.servers": bench.servers,
            "group.id": "bench-consume-only",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 65_536,
            "fetch.queue.backoff.ms": 5,
        }
    )
    client.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    first = client.consume(10_000, 30)
    done = begun_with = len(first)
    kafka_before, own_before, began = cpu_seconds(bench.pids["kafka"]), time.process_time(), time.monotonic()
    while done < total:
        done += sum(message.error() is None for message in client.consume(10_000, 1))
        told(done)
    seconds, events = time.monotonic() - began, max(1, done - begun_with)
    cpu = {"client": time.process_time() - own_before, "Kafka": cpu_seconds(bench.pids["kafka"]) - kafka_before}
    client.close()
    return Result(
        "consume only",
        pace=events / seconds,
        whole_pace=events / seconds,
        cpu={side: used / events * 1e6 for side, used in cpu.items()},
    )


def insert_only(bench: Bench, form: str, total: int, told: Callable[[int], None]) -> Result:
    """Insert ready-made blocks over HTTP, one after the other, into the same table and views as everybody."""
    bodies = _bodies(form)
    names = ", ".join(columns.COLUMNS if form == "ArrowStream" else columns.COLUMNS[:10])
    blocks = max(2, -(-total // BLOCK))
    with bench.database() as database:
        pool = http_pool(bench)

        def insert(number: int) -> None:
            arguments = {
                "database": database,
                "query": f"INSERT INTO events ({names}) FORMAT {form}",
                "insert_deduplication_token": f"bench-{number}",
                "date_time_input_format": "best_effort",
                **INSERT_SETTINGS,
            }
            answer = pool.request("POST", f"/?{urlencode(arguments)}", body=bodies[number % len(bodies)])
            if answer.status != 200:
                raise RuntimeError(answer.data.decode(errors="replace")[:500])

        insert(0)
        server_before, own_before, began = cpu_seconds(bench.pids["clickhouse"]), time.process_time(), time.monotonic()
        for number in range(1, blocks):
            insert(number)
            told(number * BLOCK)
        seconds, events = time.monotonic() - began, (blocks - 1) * BLOCK
        server = cpu_seconds(bench.pids["clickhouse"]) - server_before
        own = time.process_time() - own_before
        ((stored,),) = bench.clickhouse(database).execute("SELECT count() FROM events")
    if stored != blocks * BLOCK:
        raise RuntimeError(f"{stored} rows stored, {blocks * BLOCK} sent")
    return Result(
        f"insert only, {form}, blocks of 65k",
        pace=events / seconds,
        whole_pace=events / seconds,
        cpu={"client": own / events * 1e6, "ClickHouse": server / events * 1e6},
    )


def _bodies(form: str) -> list[bytes]:
    bodies = []
    for number in range(_BLOCKS):
        lines = [value for _, value in Crowd().events(BLOCK)]
        if form == "JSONEachRow":
            bodies.append(b"\n".join(lines))
        else:
            stamps = np.full(BLOCK, time.time_ns() // 1_000_000, np.int64)
            offsets = np.arange(BLOCK, dtype=np.int64) + number * BLOCK
            bodies.append(columns.quick(lines, offsets, stamps).arrow_stream("bench", 0))
    return bodies


def contestants(bench: Bench) -> dict[str, Callable[[int, Callable[[int], None]], Result]]:
    """Each ceiling by name; a call takes how many events, and whom to tell of progress."""
    return {
        "consume only": partial(consume_only, bench),
        **{f"insert only, {form}": partial(insert_only, bench, form) for form in _FORMATS},
    }
