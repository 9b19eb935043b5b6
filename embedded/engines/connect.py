"""Kafka Connect 4.3 with Debezium's PostgreSQL connector, as one distributed worker."""

import json
from pathlib import Path
from urllib.parse import quote

import urllib3

from embedded import jars
from embedded.engines import plain_environment
from embedded.engines.kafka import HEAP, logging_options
from embedded.service import Startable, http_ok

_http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=1.0, read=5.0))


def answers(url: str) -> bool:
    """Whether the worker behind `url` (http://…) lists its connectors, which it does once it has joined its group."""
    return http_ok(f"{url.rstrip('/')}/connectors")


class Connect(Startable):
    """The worker; `manage.py setup_cdc` gives it the connector, its topics keep it."""

    name = "connect"
    title = "Kafka Connect"
    stop_grace = 20.0
    start_timeout = 120.0

    def __init__(self, var: Path, port: int, *, servers: str, needs: tuple[str, ...]) -> None:
        self._folder, self._port, self._servers, self.needs = var / "connect", port, servers, needs
        self.address = self.url = f"http://127.0.0.1:{port}"

    def _properties(self) -> dict[str, object]:
        properties: dict[str, object] = {
            "bootstrap.servers": self._servers,
            "group.id": "nova-connect",
            "listeners": self.url,
            "rest.advertised.host.name": "127.0.0.1",
            "rest.advertised.port": self._port,
            "plugin.discovery": "service_load",
            "offset.flush.interval.ms": 5000,
            # A worker that was killed must get its connector back at once, not after the five minutes that a
            # cluster waits for a lost member to return.
            "scheduled.rebalance.max.delay.ms": 0,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 2000,
        }
        for store in ("config", "offset", "status"):
            properties[f"{store}.storage.topic"] = f"nova-connect-{store}"
            properties[f"{store}.storage.replication.factor"] = 1
            if store != "config":
                properties[f"{store}.storage.partitions"] = 1
        for side in ("key", "value"):
            properties[f"{side}.converter"] = "org.apache.kafka.connect.json.JsonConverter"
            properties[f"{side}.converter.schemas.enable"] = "false"
        return properties

    def prepare(self) -> None:
        """Write the configuration."""
        jars.ensure()
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        (self._folder / "worker.properties").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """The distributed worker: it keeps connectors and offsets in Kafka."""
        shown = logging_options(io_debezium="info", org_reflections="error", org_eclipse_jetty="error")
        options = [*HEAP, f"-Djava.io.tmpdir={self._folder / 'tmp'}", *shown]
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        return [*jars.java(*options), main, str(self._folder / "worker.properties")]

    def environment(self) -> dict[str, str]:
        """Java comes from a package."""
        return plain_environment(JAVA_HOME=str(jars.java_home()))

    def healthy(self) -> bool:
        """Whether the worker has joined its group and answers."""
        return answers(self.url)

    def tend(self) -> str | None:
        """Restart connectors and tasks that gave up, as they do when PostgreSQL is away for long."""
        try:
            reply = _http.request("GET", f"{self.url}/connectors?expand=status")
            if reply.status != 200:
                return None
            failed = [
                name
                for name, about in json.loads(reply.data).items()
                if "FAILED" in [part["state"] for part in (about["status"]["connector"], *about["status"]["tasks"])]
            ]
            for name in failed:
                path = f"{self.url}/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed=true"
                _http.request("POST", path)
        except (urllib3.exceptions.HTTPError, ValueError, KeyError):
            return None  # a worker that does not answer is the health check's business
        return f"restarted the failed connector {', '.join(failed)}" if failed else None
