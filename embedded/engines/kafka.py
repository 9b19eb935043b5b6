"""Apache Kafka 4.3: one node that is broker and controller at once (KRaft)."""

import base64
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from embedded import jars
from embedded.engines import plain_environment, run_tool
from embedded.ports import answers as port_answers
from embedded.service import Startable

HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
# A program that soon ends is not worth being compiled twice.
_SHORT = "-XX:TieredStopAtLevel=1"
MEBIBYTE = 1024 * 1024


def answers(servers: str) -> bool:
    """Whether a broker of `servers` (HOST:PORT,…) tells its metadata within two seconds."""
    try:
        client = AdminClient({"bootstrap.servers": servers, "log_level": 0, "socket.timeout.ms": 2000})
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def logging_options(**levels: str) -> list[str]:
    """What slf4j-simple shows: warnings, and more where a logger is named (dots as underscores)."""
    prefix = "-Dorg.slf4j.simpleLogger."
    shown = [f"{prefix}log.{name.replace('_', '.')}={level}" for name, level in levels.items()]
    form = [f"{prefix}showDateTime=true", f"{prefix}dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS"]
    return [f"{prefix}defaultLogLevel=warn", *form, *shown]


class Kafka(Startable):
    """Topics are made by `manage.py migrate_topics` only, never by a typing error of a client."""

    name = "kafka"
    title = "Apache Kafka"
    stop_grace = 30.0

    def __init__(self, var: Path, port: int, controller_port: int) -> None:
        self._folder, self._port, self._controller_port = var / "kafka", port, controller_port
        self.address = self.servers = f"127.0.0.1:{port}"

    def _properties(self) -> dict[str, object]:
        listeners = f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "log.dirs": self._folder / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "log.retention.hours": 168,
            "log.segment.bytes": 128 * MEBIBYTE,
            "log.cleaner.dedupe.buffer.size": 32 * MEBIBYTE,
            # One node: whatever wants three copies gets one, and waits for nobody.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 8,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # A broker that was killed may return only when its old session has run out (9 s by default).
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 1000,
            "group.initial.rebalance.delay.ms": 0,
        }

    def prepare(self) -> None:
        """Write the configuration; give the storage its cluster id the first time."""
        jars.ensure()
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        configuration = self._folder / "server.properties"
        configuration.write_text("\n".join(lines) + "\n")
        if not (self._folder / "data" / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            options = ("format", "--standalone", f"--cluster-id={cluster}", f"--config={configuration}")
            run_tool(
                [*jars.java(*HEAP, _SHORT), "kafka.tools.StorageTool", *options],
                purpose="prepare Kafka's storage",
                environment=self.environment(),
            )

    def command(self) -> list[str]:
        """The broker; native libraries are unpacked below our folder, since /tmp may forbid execution."""
        options = [*HEAP, f"-Djava.io.tmpdir={self._folder / 'tmp'}", *logging_options()]
        return [*jars.java(*options), "kafka.Kafka", str(self._folder / "server.properties")]

    def environment(self) -> dict[str, str]:
        """Java comes from a package."""
        return plain_environment(JAVA_HOME=str(jars.java_home()))

    def healthy(self) -> bool:
        """Metadata are answered, which a broker does only after it has registered with its controller."""
        return port_answers(self._port) and answers(self.servers)
