"""`manage.py run_events_consumer` as a contestant: real processes, full guarantees."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.ingest.bench import Bench, wait_until
from benchmarks.ingest.meters import Curve, memory_mb, watch
from benchmarks.ingest.result import Result
from embedded.paths import ROOT
from embedded.process import Process
from embedded.service import http_ok

SIDES = {"ClickHouse": "clickhouse", "Redis": "redis", "Kafka": "kafka", "PostgreSQL": "postgres"}
_groups = itertools.count(1)


def name(processes: int) -> str:
    return f"run_events_consumer, {processes} process{'es' * (processes > 1)}"


@dataclass
class Running:
    """Consumer processes and where each tells its metrics."""

    children: list[Process]
    ports: list[int]

    def alive(self) -> bool:
        return all(child.exit_code() is None for child in self.children)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children]

    def samples(self, metric: str) -> dict[str, float]:
        """Sample name and labels → value, summed over the processes."""
        found: dict[str, float] = {}
        for port in self.ports:
            text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=10).data.decode()
            for family in text_string_to_metric_families(text):
                if family.name == metric:
                    for sample in family.samples:
                        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                        key = f"{sample.name}|{labels}"
                        found[key] = found.get(key, 0) + sample.value
        return found

    def messages(self) -> int:
        """Messages that are done with, stored or dropped."""
        found = self.samples("nova_consumer_messages")
        return int(sum(value for key, value in found.items() if key.startswith("nova_consumer_messages_total")))


@contextmanager
def consumers(bench: Bench, count: int, database: str, group: str) -> Iterator[Running]:
    """`count` consumers on a database, with a ledger of their own (`group`). Stopped at the end; each must then exit
    with 0."""
    ports = bench.ports(*(f"consumer-{number}" for number in range(count)))
    command = [sys.executable, str(ROOT / "manage.py"), "run_events_consumer", "--group", group]
    children = [
        bench.process(f"consumer-{number}", *command, env=bench.environment(database, HEALTH_PORT=str(port)))
        for number, port in enumerate(ports)
    ]
    running = Running(children, ports)
    try:
        wait_until(
            lambda: not running.alive() or all(http_ok(f"http://127.0.0.1:{port}/healthz") for port in ports),
            "the consumers' health ports",
        )
        yield running
        for child in children:
            child.signal(15)
        if codes := [code for child in children if (code := child.wait(60)) != 0]:
            raise RuntimeError(f"a consumer ended with {codes}; its log lies in {bench.var / 'log'}")
    finally:
        for child in children:
            child.signal_all(9)


def new_group() -> str:
    return f"bench-{os.getpid()}-{next(_groups)}"


def run(bench: Bench, processes: int, total: int, told: Callable[[int], None], *, again: bool = False) -> Result:
    """Let our consumers read the whole topic into a database of their own, from a ledger that knows nothing yet.

    again: afterwards the ledger is forgotten, everything is read once more, and not one row may be added.
    """
    bench.forget_claims()
    with bench.database() as database:
        client = bench.clickhouse(database)
        with consumers(bench, processes, database, new_group()) as running:
            curve = _watch(bench, lambda: int(client.execute("SELECT count() FROM events")[0][0]), total, running, told)
            memory = [memory_mb(pid)[1] for pid in running.pids]
            steps = running.samples("nova_consumer_batch_seconds")
            rows = running.samples("nova_consumer_batch_rows")
        notes = {}
        if again:
            notes["read again, events/s"] = round(_again(bench, total, database, told))
        ((stored, distinct),) = client.execute("SELECT count(), uniqExact(event_id) FROM events")
    if (stored, distinct) != (total, total):
        raise RuntimeError(f"{total} events, but {stored} rows and {distinct} ids")
    return Result(
        name(processes),
        pace=curve.pace,
        whole_pace=curve.whole_pace,
        cpu=curve.cpu_per_event(),
        memory=memory,
        steps={_label(key, "step"): value for key, value in steps.items() if "_sum|" in key},
        batches={
            "count": next((value for key, value in rows.items() if "_count|" in key), 0),
            "rows": next((value for key, value in rows.items() if "_sum|" in key), 0),
        },
        points=curve.points,
        stored=stored,
        distinct=distinct,
        notes=notes,
    )


def _watch(
    bench: Bench,
    count: Callable[[], int],
    total: int,
    running: Running,
    told: Callable[[int], None],
    every: float = 0.05,
) -> Curve:
    sides = {"consumer": running.pids} | {side: [bench.pids[engine]] for side, engine in SIDES.items()}
    return watch(count, total, sides, alive=running.alive, told=told, memory_of=running.pids, every=every)


def _again(bench: Bench, total: int, database: str, told: Callable[[int], None]) -> float:
    """Messages a second when everything is read once more."""
    with consumers(bench, 1, database, new_group()) as running:
        return _watch(bench, running.messages, total, running, told, every=0.5).pace


def backlog(bench: Bench, total: int, told: Callable[[int], None]) -> tuple[Curve, float]:
    """One consumer against a long backlog: the run, with its memory over time, and its highest memory in MB."""
    bench.forget_claims()
    with bench.database() as database:
        client = bench.clickhouse(database)
        with consumers(bench, 1, database, new_group()) as running:
            curve = _watch(bench, lambda: int(client.execute("SELECT count() FROM events")[0][0]), total, running, told)
            highest = memory_mb(running.pids[0])[1]
        ((stored,),) = client.execute("SELECT count() FROM events")
    with suppress(OSError):
        bench.forget_claims()
    if stored != total:
        raise RuntimeError(f"{total} events, but {stored} rows")
    return curve, highest


def _label(key: str, name: str) -> str:
    labels = dict(pair.split("=", 1) for pair in key.partition("|")[2].split(",") if "=" in pair)
    return labels.get(name, "")
