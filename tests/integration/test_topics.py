"""Topics that are there already, beside what they should be."""

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ingestion import topics_admin
from nova import kafka, topics
from nova.errors import Permanent
from tests.integration.commands import manage

pytestmark = pytest.mark.usefixtures("prepared")


def set_bound(topic: str, size: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    kafka.admin().incremental_alter_configs([resource])[resource].result(20)


def test_a_topic_that_was_made_before_takes_large_changes_too() -> None:
    topic = topics.of_table("blocks")
    set_bound(topic, 1_048_588)
    try:
        checked = manage("migrate_topics", "--check")
        assert (checked.code, f"{topic}: max.message.bytes is 1048588, wanted 8388608" in checked.said) == (1, True)
        ran = manage("migrate_topics")
        assert (ran.code, f"{topic} takes larger messages now" in ran.said) == (0, True), ran.said
        assert topics_admin.differences() == []
        assert topics_admin.widen() == []
    finally:
        set_bound(topic, topics.LARGEST_CHANGE)


def test_a_larger_bound_of_the_operators_stays() -> None:
    topic = topics.of_table("blocks")
    set_bound(topic, 2 * topics.LARGEST_CHANGE)
    try:
        assert topics_admin.widen() == []
        assert topics_admin.differences() == []
    finally:
        set_bound(topic, topics.LARGEST_CHANGE)


def test_what_is_acknowledged_is_in_two_places_where_there_are_three(settings) -> None:
    """With Kafka's default it may be in one, and go with it."""
    assert topics_admin.differences() == []
    settings.KAFKA_REPLICATION = 3
    assert {topic.config["min.insync.replicas"] for topic in topics_admin.wanted()} == {"2"}
    found = topics_admin.differences()
    assert f"{topics.EVENTS}: has 1 copies, wanted 3; change it with kafka-reassign-partitions" in found
    # Asked of a topic that has one copy, nothing could be written to it any more.
    assert len(found) == len(topics_admin.wanted())


def test_what_could_not_be_compared_is_no_difference() -> None:
    checked = manage("migrate_topics", "--check", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (checked.code, "could not be compared: Kafka at 127.0.0.1:1 does not answer" in checked.said) == (3, True)
    made = manage("migrate_topics", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (made.code, "could not be made" in made.said) == (1, True), made.said


def test_settings_that_may_not_be_read_are_named(monkeypatch) -> None:
    """As by an ACL, which the embedded broker has none of."""

    class Forbidden:
        def result(self) -> None:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    admin = kafka.admin()

    class Admin:
        def __getattr__(self, name: str) -> object:
            return getattr(admin, name)

        def describe_configs(self, asked, **_: object) -> dict[ConfigResource, Forbidden]:
            return dict.fromkeys(asked, Forbidden())

    monkeypatch.setattr(topics_admin.kafka, "admin", Admin)
    with pytest.raises(Permanent, match=r"did not tell the settings of the topic .*authorization failed"):
        topics_admin.differences()
