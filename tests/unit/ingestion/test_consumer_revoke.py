"""The runtime around a batch under way, with a sink and a client that do as they are told."""

import signal
import socket
import threading
import time
from collections.abc import Callable

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import REGISTRY

from ingestion import health, ledger, turns
from ingestion.batcher import Batcher, Bounds
from ingestion.consumer import Runtime
from ingestion.errors import EXIT_DATA_LOSS, EXIT_FENCED, EXIT_SETTINGS, Halt
from ingestion.flushing import Held
from ingestion.ledger import Partition, Pending
from nova import kafka


class SlowSink:
    """Stores a batch once it is allowed to."""

    name = "slow"
    topics = ("events",)

    def __init__(self) -> None:
        self.begun, self.allowed = threading.Event(), threading.Event()
        self.stored: list[int] = []

    def prepare(self) -> None:
        pass

    def redo(self, part: Partition, pending: Pending, messages: list[Message]) -> None:
        self.flush(part, messages)

    def flush(self, part: Partition, messages: list[Message]) -> None:
        self.begun.set()
        assert self.allowed.wait(10)
        self.stored += [message.offset() for message in messages]
        part.next_offset = self.stored[-1] + 1


class Client:
    """A consumer whose partitions were taken away: it refuses commits, and nothing of them comes."""

    def __init__(self) -> None:
        self.unassigned: list[TopicPartition] = []
        self.paused: list[int] = []
        self.asked: list[int] = []

    def poll(self, wait: float) -> Message:
        self.asked.append(1)
        return Message(topic="events", partition=9, offset=0, value=b"x", timestamp=(1, 0))

    def consume(self, most: int, wait: float) -> list[Message]:
        self.asked.append(most)
        return []

    def commit(self, **arguments: object) -> None:
        raise KafkaException(KafkaError(KafkaError._STATE))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused += [one.partition for one in partitions]

    def resume(self, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self.paused.remove(one.partition)

    def get_watermark_offsets(self, where: TopicPartition, *, cached: bool) -> tuple[int, int]:
        return 0, 0

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.unassigned += partitions


@pytest.fixture
def sink() -> SlowSink:
    return SlowSink()


@pytest.fixture
def runtime(sink: SlowSink) -> Runtime:
    return Runtime(sink, bounds=Bounds(10, 0.0))


def hold(runtime: Runtime, offsets: range, number: int = 0) -> Held:
    part = Partition(1, "slow", "events", "id", number, 1, 0)
    held = Held(part, Batcher(Bounds(10, 0.0), next_offset=0), None)
    runtime._held["events", number] = held
    for offset in offsets:
        message = Message(topic="events", partition=number, offset=offset, value=b"x", timestamp=(1, 0))
        held.batcher.add(message, offset, 1, 0.0)
    return held


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, [1, 39]), (1.0, [40])])
def test_changes_are_taken_as_soon_as_one_is_there(sink, seconds: float, asked: list[int]) -> None:
    """Kafka's `consume` waits for as many as are asked for: where batches do not collect, one is waited for."""
    runtime, client = Runtime(sink, bounds=Bounds(10, seconds)), Client()
    runtime._fetch(client)  # type: ignore[arg-type]
    assert client.asked == asked


def test_a_revoke_waits_for_the_batch_under_way_and_a_refused_commit_is_no_matter(runtime, sink) -> None:
    """Cases 26 and 28."""
    held = hold(runtime, range(15))
    client = Client()
    runtime._hand_out(client)
    assert sink.begun.wait(5)
    threading.Timer(0.2, sink.allowed.set).start()
    runtime._on_revoke(client, [TopicPartition("events", 0)])
    assert sink.stored == list(range(10)), "finished, and nothing after it begun"
    assert held.part.next_offset == 10
    assert not held.part.alive
    assert runtime._held == {}
    assert [gone.partition for gone in client.unassigned] == [0]


def test_to_wait_for_the_batch_under_way_is_no_stall(runtime, sink, settings) -> None:
    """/healthz would fail during a long DRAIN_SECONDS, and the process be killed for it."""
    settings.DRAIN_SECONDS = 600
    hold(runtime, range(5))
    runtime._hand_out(Client())
    assert sink.begun.wait(5)
    began = time.monotonic()
    threading.Timer(0.2, sink.allowed.set).start()
    runtime._on_revoke(Client(), [TopicPartition("events", 0)])
    assert runtime._polled >= began


def test_many_claims_are_no_stall(runtime, monkeypatch) -> None:
    """Each is quick, or there would be an error after which it asks; all together may take long."""
    seen: list[bool] = []

    class Assigned(Client):
        def get_watermark_offsets(self, where: TopicPartition, **arguments: object) -> tuple[int, int]:
            return 0, 0

        def incremental_assign(self, partitions: list[TopicPartition]) -> None:
            pass

    def claim(consumer: str, topic: str, topic_id: str, partition: int, **marks: int) -> tuple[Partition, None]:
        seen.append(runtime._last_poll() > 0)
        runtime._polled = 0.0
        return Partition(1, consumer, topic, topic_id, partition, 1, 0), None

    monkeypatch.setattr(kafka, "topic_ids", lambda *names: dict.fromkeys(names, "id"))
    monkeypatch.setattr(ledger, "claim", claim)
    runtime._prepared = True
    runtime._on_assign(Assigned(), [TopicPartition("events", number) for number in range(3)])
    assert seen == [True, True, True]


def test_a_health_port_that_is_taken_is_a_wrong_setting(sink, settings, monkeypatch, caplog) -> None:
    """As for the second of two consumers on one host, when both have the same."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings.HEALTH_PORT = other.getsockname()[1]
        assert Runtime(sink).run() == EXIT_SETTINGS
    assert "HEALTH_PORT" in caplog.text
    assert str(settings.HEALTH_PORT) in caplog.text


def test_to_prepare_for_long_is_no_stall(runtime, sink, settings, monkeypatch) -> None:
    """Kafka Connect may hang for a minute, and is not even needed."""
    asked: list[Callable[[], float]] = []
    seen: list[tuple[float, float]] = []

    def hangs() -> None:
        began = time.monotonic()
        seen.append((began, asked[0]()))
        raise Halt("of this test", EXIT_DATA_LOSS)

    settings.HEALTH_PORT = 1
    monkeypatch.setattr(health, "serve", lambda host, port, last_poll: asked.append(last_poll))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sink, "prepare", hangs)
    assert runtime.run() == EXIT_DATA_LOSS
    [(began, polled)] = seen
    assert polled >= began


def test_a_partition_that_was_lost_is_given_up_at_once(runtime, sink) -> None:
    """Case 26: another process may have it already, so nothing is waited for."""
    held = hold(runtime, range(5))
    runtime._hand_out(Client())
    assert sink.begun.wait(5)
    runtime._on_lost(Client(), [TopicPartition("events", 0)])
    assert held.gone.is_set()
    assert not held.part.alive
    sink.allowed.set()


@pytest.mark.parametrize("way", ["_on_revoke", "_on_lost"])
def test_no_pause_outlasts_the_assignment(runtime, way: str) -> None:
    """The client keeps it, and reads nothing of the partition when that comes back."""
    rested, client = hold(runtime, range(0)), Client()
    hold(runtime, range(0), number=1)
    turns.give(client, runtime._held.values(), [rested])  # type: ignore[arg-type]
    assert client.paused == [0]
    getattr(runtime, way)(client, [TopicPartition("events", 0), TopicPartition("events", 1)])
    assert client.paused == []


def test_no_metric_speaks_of_a_partition_that_went(runtime, sink, monkeypatch) -> None:
    monkeypatch.setattr("ingestion.assignment.check_topics", lambda parts: None)
    for number in (0, 1):
        hold(runtime, range(0), number)
    runtime._report(Client())  # type: ignore[arg-type]
    assert [told(number) for number in (0, 1)] == [(0.0, 0.0)] * 2
    runtime._on_lost(Client(), [TopicPartition("events", 0)])
    assert [told(number) for number in (0, 1)] == [(None, None), (0.0, 0.0)]


def told(number: int) -> tuple[float | None, float | None]:
    """Lag and offset of a partition as /metrics has them."""
    labels = {"consumer": "slow", "topic": "events", "partition": str(number)}
    return tuple(REGISTRY.get_sample_value(f"nova_consumer_{name}", labels) for name in ("lag", "offset"))  # type: ignore[return-value]


def test_small_batches_leave_one_after_the_other_and_a_full_one_at_once(sink) -> None:
    runtime = Runtime(sink, bounds=Bounds(10, 0.0, apart=3600), workers=4)
    small, other, full = (hold(runtime, range(count), number) for number, count in enumerate((3, 4, 10)))
    for _ in range(2):
        runtime._hand_out(Client())
    assert [held.flying for held in (small, other, full)] == [3, 0, 10]
    sink.allowed.set()


def fetched(runtime: Runtime) -> int:
    """How many messages the runtime asks Kafka for."""
    client = Client()
    runtime._fetch(client)  # type: ignore[arg-type]
    return sum(client.asked)


def test_only_what_is_lacking_of_a_batch_to_redo_is_fetched_beyond_the_memory(runtime) -> None:
    redone, other = hold(runtime, range(5)), hold(runtime, range(3), 1)
    redone.pending = Pending(0, 99, None, "token", None)  # type: ignore[arg-type]
    other.batcher.size = 10**9
    assert fetched(runtime) > 90
    redone.fenced_at = 1.0
    assert fetched(runtime) == 0, "it went to somebody else"
    redone.fenced_at = None
    redone.batcher.next_offset = 100
    assert fetched(runtime) == 0, "it is all here"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (KafkaError._AUTO_OFFSET_RESET, EXIT_DATA_LOSS),
        (KafkaError.OFFSET_OUT_OF_RANGE, EXIT_DATA_LOSS),
        (KafkaError._FATAL, EXIT_FENCED),
        (KafkaError.FENCED_INSTANCE_ID, EXIT_FENCED),
    ],
)
def test_errors_that_do_not_pass_end_the_process(runtime, code: int, exit_code: int) -> None:
    """Cases 24 and 31."""
    with pytest.raises(Halt) as halt:
        runtime._weigh(KafkaError(code))
    assert halt.value.exit_code == exit_code


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED])
def test_errors_that_pass_do_not(runtime, code: int) -> None:
    runtime._weigh(KafkaError(code))


def test_the_client_library_keeps_its_assignment_when_a_commit_meets_a_rebalance() -> None:
    """Case 27: librdkafka#4059 was mended by #4908, in 2.8.0."""
    assert confluent_kafka.libversion()[1] >= 0x02080000
