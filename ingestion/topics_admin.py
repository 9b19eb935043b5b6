"""The topics: made once with the partitions, retention and replication that the settings ask for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from django.conf import settings

from nova import kafka, topics
from nova.errors import Permanent, Transient

HEARTBEAT = f"__debezium-heartbeat.{topics.CDC_PREFIX}"
_HOUR_MS = 3_600_000
# Dead letters wait for a person; the copy in the topic is for tools, the row in PostgreSQL is the one that counts.
_DEAD_LETTER_HOURS = 24 * 30
_LARGEST = "max.message.bytes"
_COPIES = "min.insync.replicas"


@dataclass(frozen=True)
class Topic:
    """A topic as it should be. retention: hours; largest: bytes of a message, None for the broker's own bound."""

    name: str
    partitions: int
    retention: int
    largest: int | None = None

    @property
    def config(self) -> dict[str, str]:
        bound = {_LARGEST: str(self.largest)} if self.largest else {}
        # With Kafka's own 1, what only the leader had is acknowledged while the others are behind, and gone with it.
        # Of two brokers one is too few and both are too many to go on with: that choice stays the cluster's.
        copies = {1: {_COPIES: "1"}, 2: {}}.get(settings.KAFKA_REPLICATION, {_COPIES: "2"})
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention * _HOUR_MS),
            **copies,
            **bound,
        }


@dataclass(frozen=True)
class _Live:
    """A topic as it is. copies: on how many brokers its partitions are, each on so many at least."""

    partitions: int
    copies: int


def wanted() -> list[Topic]:
    """Every topic of Nova, those that only Debezium writes and nobody reads (its heartbeats) included."""
    wide, hours = settings.KAFKA_PARTITIONS, settings.KAFKA_RETENTION_HOURS
    return [
        Topic(topics.EVENTS, wide, hours),
        *(Topic(name, wide, hours, topics.LARGEST_CHANGE) for name in topics.CDC),
        *(Topic(name, 1, max(hours, _DEAD_LETTER_HOURS)) for name in (topics.DLQ_EVENTS, topics.DLQ_CDC)),
        Topic(HEARTBEAT, 1, 1),
        Topic(topics.of_table("cdc_heartbeat"), 1, 1),
    ]


def create() -> list[str]:
    """Make the topics that are missing; their names. Raises `Transient` without a broker, `Permanent` when refused."""
    present = _present()
    missing = [topic for topic in wanted() if topic.name not in present]
    new = [NewTopic(topic.name, topic.partitions, settings.KAFKA_REPLICATION, config=topic.config) for topic in missing]
    if not new:
        return []
    made = []
    for name, future in _admin().create_topics(new, request_timeout=30).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker
                raise Permanent(f"Kafka refused to create the topic {name}: {error.args[0].str()}") from error
        else:
            made.append(name)
    return sorted(made)


def widen() -> list[str]:
    """Have the present topics take messages as large as they should; the names of those that did not. What else
    differs, `differences` says. Raises as `create`."""
    present = _present()
    bounds = {topic.name: topic.largest for topic in wanted() if topic.largest and topic.name in present}
    live = _configs(bounds)
    narrow = {
        name: bound for name, bound in bounds.items() if not _is_right(_LARGEST, live[name][_LARGEST].value, str(bound))
    }
    wider = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[ConfigEntry(_LARGEST, str(bound), incremental_operation=AlterConfigOpType.SET)],
        )
        for name, bound in narrow.items()
    ]
    for resource, future in (_admin().incremental_alter_configs(wider, request_timeout=30) if wider else {}).items():
        try:
            future.result()
        except KafkaException as error:
            raise Permanent(f"Kafka refused to change the topic {resource.name}: {error.args[0].str()}") from error
    return sorted(narrow)


def differences() -> list[str]:
    """In what the present topics differ from the settings, one readable line each; missing ones included.

    Nothing is changed here: more partitions would move keys to other partitions while their older changes still wait
    in the first ones, and a shorter retention would throw away what a consumer has not read yet.
    """
    present = _present()
    found = []
    for topic in wanted():
        if topic.name not in present:
            found.append(f"{topic.name}: is missing; run manage.py migrate_topics")
            continue
        live = present[topic.name]
        if live.partitions != topic.partitions:
            found.append(
                f"{topic.name}: has {live.partitions} partitions, wanted {topic.partitions}; not changed, as keys "
                "would move between partitions: stop the writers, let the consumers finish, then use kafka-topics "
                "--alter"
            )
        if live.copies < settings.KAFKA_REPLICATION:
            found.append(
                f"{topic.name}: has {live.copies} copies, wanted {settings.KAFKA_REPLICATION}; change it with "
                "kafka-reassign-partitions"
            )
    # First the copies, then how many of them must have what is acknowledged, or nothing would be any more.
    found += _config_differences(
        [topic for topic in wanted() if topic.name in present],
        {name for name, live in present.items() if live.copies < settings.KAFKA_REPLICATION},
    )
    return found


def _config_differences(present: list[Topic], few: Collection[str]) -> list[str]:
    live = _configs(topic.name for topic in present)
    return sorted(
        f"{topic.name}: {key} is {live[topic.name][key].value}, wanted {value}; change it with kafka-configs --alter"
        for topic in present
        for key, value in topic.config.items()
        if not (key == _COPIES and topic.name in few) and not _is_right(key, live[topic.name][key].value, value)
    )


def _is_right(key: str, live: str | None, wanted: str) -> bool:
    return int(live or 0) >= int(wanted) if key in (_LARGEST, _COPIES) else live == wanted


def _configs(names: Iterable[str]) -> dict[str, dict[str, ConfigEntry]]:
    """The settings of topics that there are, by the topic's name and their own. Raises `Permanent` when refused, as
    where an ACL forbids to read them."""
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not asked:
        return {}
    found = {}
    for resource, future in _admin().describe_configs(asked, request_timeout=30).items():
        try:
            found[resource.name] = future.result()
        except KafkaException as error:
            raise Permanent(
                f"Kafka did not tell the settings of the topic {resource.name}: {error.args[0].str()}"
            ) from error
    return found


def _present() -> dict[str, _Live]:
    """The cluster's topics."""
    try:
        listed = _admin().list_topics(timeout=10)
    except KafkaException as error:
        servers = settings.KAFKA["bootstrap.servers"]
        raise Transient(f"Kafka at {servers} does not answer: {error.args[0].str()}") from error
    return {
        name: _Live(len(topic.partitions), min((len(one.replicas) for one in topic.partitions.values()), default=0))
        for name, topic in listed.topics.items()
        if topic.error is None
    }


def _admin() -> AdminClient:
    return kafka.admin()
