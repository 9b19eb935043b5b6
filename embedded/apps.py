"""What Nova itself consists of: the steps that prepare its stores, then its processes. A table, nothing more."""

import sys
from collections.abc import Mapping
from pathlib import Path

from embedded.paths import ROOT
from embedded.service import Program, Service

STORES = ("postgres", "redis", "clickhouse", "kafka")


def programs(var: Path, ports: Mapping[str, int], env: Mapping[str, str], *, demo: bool) -> list[Service]:
    """The steps and processes in the order in which they are listed to a person.

    `env` is the environment that settings read; `demo` adds the seeded, simulated community.
    """
    binaries = Path(sys.executable).parent
    web, stream = (f"http://127.0.0.1:{ports[name]}" for name in ("web", "stream"))
    static = env["STATIC_ROOT"]

    def step(name: str, title: str, *command: str, needs: tuple[str, ...]) -> Program:
        return Program(name, title, _manage(*command), environment=env, needs=needs, one_shot=True, start_timeout=600)

    def consumer(name: str, title: str, command: str, needs: tuple[str, ...]) -> Program:
        port = ports[name]
        return Program(
            *(name, title, _manage(command)),
            environment=dict(env) | {"HEALTH_PORT": str(port)},
            needs=needs,
            health_url=f"http://127.0.0.1:{port}/healthz",
            # Longer than DRAIN_SECONDS, which a batch under way may take.
            stop_grace=30.0,
        )

    def server(name: str, title: str, *argv: str, needs: tuple[str, ...], health_url: str = "") -> Program:
        metrics = var / "metrics" / name
        return Program(
            *(name, title, [str(binaries / argv[0]), *argv[1:]]),
            environment=dict(env) | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
            needs=needs,
            health_url=health_url,
            address=health_url.removesuffix("/livez"),
            wiped=metrics,
            settle=8.0,  # Celery serves no health; a wrong setting ends it before that
        )

    celery = ("celery", "-A", "nova")
    schema = ("migrate", "clickhouse-schema")
    parts: list[Service] = [
        step("static", "static files", "collectstatic", "--noinput", "--verbosity=0", needs=()),
        step("migrate", "PostgreSQL schema", "migrate", "--noinput", needs=("postgres",)),
        step("clickhouse-schema", "ClickHouse schema", "migrate_clickhouse", needs=("clickhouse", "migrate")),
        step("topics", "Kafka topics", "migrate_topics", needs=("kafka",)),
        step("cdc-connector", "Debezium connector", "setup_cdc", needs=("connect", "migrate", "topics")),
        consumer("events-consumer", "events consumer", "run_events_consumer", (*STORES, *schema, "topics")),
        consumer("cdc-consumer", "CDC consumer", "run_cdc_consumer", (*STORES, *schema, "topics", "cdc-connector")),
        server(
            *("worker", "Celery worker", *celery, "worker", "--concurrency=3", "--loglevel=INFO"),
            *("--without-gossip", "--without-mingle", f"--hostname={var.name}@%h"),
            needs=(*STORES, *schema),
        ),
        # No pid file: one that a killed beat leaves behind would keep the next from starting.
        server("beat", "Celery beat", *celery, "beat", "--pidfile=", "--loglevel=INFO", needs=(*STORES, *schema)),
        server(
            *("web", "web server", "granian", "--interface", "wsgi", "nova.wsgi:application"),
            *("--host", "127.0.0.1", "--port", str(ports["web"]), "--no-ws"),
            *("--workers", "2", "--respawn-failed-workers", "--respawn-interval", "1"),
            # More threads than cores: they mostly wait for ClickHouse. The backpressure bounds open connections, not
            # calls: a reader's stays open, and one that found no room would never be answered.
            *("--blocking-threads", "8", "--backpressure", "2048", "--backlog", "2048"),
            *("--workers-kill-timeout", "10", "--static-path-route", "/static", "--static-path-mount", static),
            needs=(*STORES, *schema, "topics", "static"),
            health_url=f"{web}/livez",
        ),
        server(
            *("stream", "event streams", "granian", "--interface", "asgi", "nova.asgi:application"),
            *("--loop", "asyncio", "--host", "127.0.0.1", "--port", str(ports["stream"]), "--no-ws", "--workers", "1"),
            # An open stream is a request that goes on: these bound how many there may be.
            *("--backpressure", "8192", "--backlog", "1024"),
            *("--respawn-failed-workers", "--respawn-interval", "1", "--workers-kill-timeout", "10"),
            needs=(*STORES, *schema),
            health_url=f"{stream}/livez",
        ),
    ]
    if demo:
        simulation = [
            sys.executable,
            "-m",
            "embedded.simulation",
            "--url",
            web,
            "--report",
            str(var / "simulation.json"),
        ]
        parts += [
            step("seed", "seeded community", "seed_community", needs=(*schema, "topics", "cdc-connector")),
            Program("community", "simulated community", simulation, environment=env, needs=("web", "seed")),
        ]
    return parts


def _manage(*command: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *command]
