"""The runtime of every consumer: polls Kafka, collects batches, hands them to a sink, keeps to the ledger.

One thread polls, always, also while ClickHouse is down, so that the group never takes this member for dead; a few
worker threads flush. At most one batch of a partition is under way at a time. Memory is bounded: when too much waits,
nothing more is fetched until a batch is stored.
"""

import gc
import math
import signal
import time
from itertools import filterfalse, groupby
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.conf import settings

from ingestion import assignment, health, publishing, turns
from ingestion.assignment import patiently
from ingestion.batcher import Bounds
from ingestion.errors import EXIT_CLEAN, EXIT_DATA_LOSS, EXIT_FENCED, EXIT_SETTINGS, EXIT_UNEXPECTED, Fenced, Halt
from ingestion.flushing import Done, Held, Job, Watch, Workers, insistently
from ingestion.sink import Condenses, Sink, stamp_of
from nova import kafka, metrics
from nova.errors import Transient

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.05
# While a batch waits for a worker or for the one before it: the sooner that is seen, the less time is lost.
_BUSY_POLL_SECONDS = 0.005
_POLL_MESSAGES = 10_000
_REPORT_SECONDS = 10.0
# A short wait for room is cheaper than pausing, which throws away what was fetched ahead.
_PAUSE_AFTER_SECONDS = 1.0
# A zombie learns within this time that its partitions are gone; another holder that stays is a second group.
_FENCED_SECONDS = 60.0
_WORKERS = 2
# So many messages of a partition are made one, where the sink can.
_CONDENSED = 8192
# An insert costs ClickHouse and its disk about the same for one row as for a thousand.
_APART_SECONDS = 0.06
# Little is fetched ahead, since a pause throws it away; but the next fetch may not wait a second, as it would.
_FETCHING = {"queued.max.messages.kbytes": 4096, "fetch.queue.backoff.ms": 5}
# What is known to wait in Kafka is here within this time, or Kafka is slow.
_FILL_SECONDS = 2.0
_BATCH_BYTES = 40_000_000
_WAITING_BATCHES = 4
_WAITING_BYTES = 48_000_000


class Runtime:
    """Runs one sink until SIGTERM or SIGINT, or until going on would do harm."""

    def __init__(self, sink: Sink, *, bounds: Bounds | None = None, workers: int = _WORKERS) -> None:
        self._sink = sink
        self._condense = sink.condense if isinstance(sink, Condenses) else None
        self._bounds = bounds or Bounds(
            settings.BATCH_MESSAGES, settings.BATCH_SECONDS, size=_BATCH_BYTES, apart=_APART_SECONDS
        )
        self._held: dict[tuple[str, int], Held] = {}
        self._workers = Workers(workers, self._carry_out)
        self._full = Watch()
        self._held_back = False
        self._next_small = 0.0
        self._stopping = False
        self._stop_by = math.inf
        self._prepared = False
        self._polled = time.monotonic()
        self._reported = time.monotonic()
        self._stored = 0

    def run(self) -> int:
        """Consume; returns the exit code (ingestion.errors)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            if settings.HEALTH_PORT:
                self._serve_health(settings.HEALTH_HOST, settings.HEALTH_PORT)
            patiently(self._sink.prepare, self._ends)
            if self._stopping:
                return EXIT_CLEAN
            self._check_topics()
            publishing.start(self._sink.name)
            while not self._ends():
                self._prepared = True
                self._consume()
            log.info("stopped", consumer=self._sink.name)
        except Halt as error:
            log.critical("halt", exit_code=error.exit_code, reason=str(error))
            return error.exit_code
        except Exception as error:
            if self._stopping and isinstance(error, Transient | KafkaException):
                return EXIT_CLEAN
            log.exception("unexpected")
            return EXIT_UNEXPECTED
        return EXIT_CLEAN

    def _serve_health(self, host: str, port: int) -> None:
        try:
            health.serve(host, port, self._last_poll)
        except OSError as error:
            raise Halt(f"HEALTH_PORT: {host}:{port} cannot be had: {error.strerror}", EXIT_SETTINGS) from error

    def _last_poll(self) -> float:
        """For /healthz. Before the first one it waits for engines, some of which may hang for longer than a poll."""
        return self._polled if self._prepared else time.monotonic()

    def _ask_to_stop(self, number: int, frame: object) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        self._stopping = True
        self._stop_by = min(self._stop_by, time.monotonic() + settings.DRAIN_SECONDS)

    def _ends(self) -> bool:
        """Asked by whatever waits for an engine instead of polling: to wait is no stall."""
        self._polled = time.monotonic()
        return self._stopping

    def _check_topics(self) -> None:
        try:
            patiently(lambda: kafka.topic_ids(*self._sink.topics), self._ends)
        except KafkaException as error:
            if self._stopping:
                raise
            raise Halt(
                f"Kafka: {error.args[0].str()} (topics: {', '.join(self._sink.topics)}). "
                "Make them with manage.py migrate_topics",
                EXIT_SETTINGS,
            ) from error

    def _consume(self) -> None:
        # Where batches collect for a while anyway, Kafka may answer less often, and with more.
        least = {"fetch.min.bytes": 65_536 if self._bounds.seconds else 1}
        client = kafka.consumer(self._sink.name, **_FETCHING, **least)
        called = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_lost}
        client.subscribe(list(self._sink.topics), **called)
        log.info("started", consumer=self._sink.name, topics=list(self._sink.topics))
        # Messages come by the ten thousand and form no cycles: searching them for some took a third of the time.
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)
        try:
            while not self._stopping:
                self._take_in(self._fetch(client))
                self._hand_out(client)
                self._settle(client, self._workers.finished(0))
                if time.monotonic() - self._reported >= _REPORT_SECONDS:
                    self._report(client)
            self._drain(client, list(self._held.values()))
        except assignment.NotAssigned as error:
            # Whoever holds up an assignment for too long is put out of the group: rather come again.
            log.warning("not_assigned", error=str(error)[:500])
        finally:
            # Leaves the group at once, so that others take over without waiting for the session to end.
            client.close()

    # Polling ----------------------------------------------------------------------------------------------------------

    def _fetch(self, client: Consumer) -> list[Message]:
        self._polled = time.monotonic()
        messages = sum(len(held.batcher) + held.flying for held in self._held.values())
        size = sum(held.batcher.size + held.flying_size for held in self._held.values())
        # A batch to redo is as large as it once was, whatever the settings say now, and waits as it comes.
        redo = sum(held.redoing for held in self._held.values())
        room = _WAITING_BATCHES * self._bounds.messages + redo - messages if redo or size < _WAITING_BYTES else 0
        waited = self._full.lasts(room <= 0)
        if room > 0:
            turns.give(client, self._held.values(), turns.resting(self._held.values(), self._polled))
            wait = _BUSY_POLL_SECONDS if self._held_back else _POLL_SECONDS
            most = min(room, _POLL_MESSAGES)
            return client.consume(most, wait) if self._bounds.seconds else _at_once(client, most, wait)
        if waited < _PAUSE_AFTER_SECONDS:
            self._settle(client, self._workers.finished(_POLL_SECONDS))
            return []
        turns.give(client, self._held.values(), list(self._held.values()))
        return client.consume(1, _POLL_SECONDS)

    def _take_in(self, messages: list[Message]) -> None:
        now = time.monotonic()
        for failed in filter(Message.error, messages):
            self._weigh(failed.error())  # type: ignore[arg-type]
        # They come in runs of one partition; whatever is done for each single one costs more than decoding it.
        for topic, of_topic in groupby(filterfalse(Message.error, messages), Message.topic):
            for partition, some in groupby(of_topic, Message.partition):
                run, held = list(some), self._held.get((topic, partition))  # type: ignore[arg-type]
                if held is not None and held.fenced_at is None:
                    held.batcher.extend(run, list(map(Message.offset, run)), list(map(len, run)), now)  # type: ignore[arg-type]
        if self._condense is not None:
            for held in self._held.values():
                held.batcher.condense(self._condense, _CONDENSED)

    def _weigh(self, error: KafkaError) -> None:
        """What an error from Kafka means: most pass by themselves, a lost offset or identity does not."""
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            assignment.check_topics(held.part for held in self._held.values())
            raise Halt(f"Kafka no longer holds the next message: {error.str()}", EXIT_DATA_LOSS)
        if error.fatal() or error.code() in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
            raise Halt(f"this member was put out of the group for good: {error.str()}", EXIT_FENCED)
        log.warning("kafka", error=error.str(), code=error.name())

    # Batches ----------------------------------------------------------------------------------------------------------

    def _hand_out(self, client: Consumer) -> None:
        """Give batches to the free workers, the longest waiting first. The others grow, so that the slower ClickHouse
        is, the fewer and larger are its inserts."""
        now = time.monotonic()
        able = [held for held in self._held.values() if not held.flying and held.fenced_at is None]
        due = [held for held in able if held.batcher.due(now)]
        due.sort(key=lambda held: (held.pending is None, held.batcher.since))
        # What came behind a batch under way goes as soon as that has landed, where nothing is to be collected.
        behind = any(held.flying and len(held.batcher) for held in self._held.values())
        self._held_back = behind and not self._bounds.seconds
        for held in due:
            small = held.pending is None and not held.batcher.full
            if small and (now < self._next_small or (turns.filling(held) and now - held.batcher.since < _FILL_SECONDS)):
                continue
            if not self._workers.free:
                self._held_back = True
                break
            if small:
                self._next_small = now + self._bounds.apart
            count, size = len(held.batcher), held.batcher.size
            batch, redo = held.batcher.take(now), held.pending
            if not batch:
                assert redo is not None
                raise Halt(f"{held.part}: Kafka holds nothing of the batch {redo.lo}-{redo.hi}", EXIT_DATA_LOSS)
            held.flying, held.flying_size = count - len(held.batcher), size - held.batcher.size
            held.flying_since = now
            self._workers.submit(Job(held, batch, redo, stamp_of(batch[0])))

    def _carry_out(self, job: Job) -> None:
        part = job.held.part

        def flush() -> None:
            if job.redo is not None:
                self._sink.redo(part, job.redo, job.messages)
            else:
                self._sink.flush(part, job.messages)

        insistently(self._sink.name, job, flush)
        part.memo = None

    def _settle(self, client: Consumer, ended: list[Done]) -> None:
        for done in ended:
            held = done.job.held
            part = held.part
            flown, held.flying, held.flying_size = held.flying, 0, 0
            if isinstance(done.error, Fenced):
                log.warning("fenced", partition=str(part), reason=str(done.error))
                held.give_up()
                held.fenced_at = time.monotonic()
                continue
            if done.error is not None:
                raise done.error
            held.pending = None
            self._stored += flown
            metrics.CONSUMER_MESSAGES.labels(self._sink.name, part.topic).inc(flown)
            delay = max(0.0, time.time() - done.job.oldest / 1000)
            metrics.CONSUMER_DELAY_SECONDS.labels(self._sink.name).observe(delay)
            assignment.commit(client, part)

    def _drain(self, client: Consumer, which: list[Held]) -> None:
        """Wait until what is under way for these partitions is stored, `DRAIN_SECONDS` at most; then give them up.

        From the signal to end on, all waits have these seconds together: closing the client revokes what was drained.
        """
        deadline = time.monotonic() + settings.DRAIN_SECONDS
        for held in which:
            held.batcher.drop()
        while any(held.flying for held in which) and (left := min(deadline, self._stop_by) - time.monotonic()) > 0:
            # To wait for ClickHouse is no stall.
            self._polled = time.monotonic()
            self._settle(client, self._workers.finished(min(left, _POLL_SECONDS)))
        for held in which:
            if held.flying:
                log.warning("drain_incomplete", partition=str(held.part), messages=held.flying)
            held.give_up()

    # Assignment -------------------------------------------------------------------------------------------------------

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            client.incremental_assign([])
            return
        starts = []
        # All or none: those of an assignment that did not come about are nobody's.
        for held in list(assignment.take(client, self._sink.name, partitions, self._bounds, self._ends)):
            part = held.part
            self._held[part.topic, part.partition] = held
            starts.append(TopicPartition(part.topic, part.partition, part.next_offset))
            redo = held.pending is not None
            log.info("assigned", partition=str(part), offset=part.next_offset, epoch=part.epoch, redo=redo)
        client.incremental_assign(starts)
        metrics.CONSUMER_REBALANCES.labels(self._sink.name, "assigned").inc()

    def _on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._drain(client, [self._held[key] for p in partitions if (key := (p.topic, p.partition)) in self._held])
        self._forget(client, partitions, "revoked")
        client.incremental_unassign(partitions)

    def _on_lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(client, partitions, "lost")
        client.incremental_unassign(partitions)

    def _forget(self, client: Consumer, partitions: list[TopicPartition], kind: str) -> None:
        for gone in partitions:
            held = self._held.pop((gone.topic, gone.partition), None)
            if held is not None:
                # A pause outlasts the assignment: when the partition came back, nothing would be read of it.
                turns.give(client, [held], [])
                held.give_up()
                # Its next owner tells them; ours would stand still for as long as this process lives.
                for gauge in (metrics.CONSUMER_LAG, metrics.CONSUMER_OFFSET):
                    gauge.remove(self._sink.name, gone.topic, gone.partition)
                log.info(kind, partition=str(held.part), offset=held.part.next_offset)
        metrics.CONSUMER_REBALANCES.labels(self._sink.name, kind).inc()

    # Telling ----------------------------------------------------------------------------------------------------------

    def _report(self, client: Consumer) -> None:
        seconds, self._reported = time.monotonic() - self._reported, time.monotonic()
        stored, self._stored = self._stored, 0
        lag = 0
        assignment.check_topics(held.part for held in self._held.values())
        for held in self._held.values():
            part = held.part
            if held.fenced_at is not None and time.monotonic() - held.fenced_at > _FENCED_SECONDS:
                raise Halt(f"{part} is assigned to this process, but another one holds it in the ledger", EXIT_FENCED)
            part.high_watermark = max(part.high_watermark, assignment.high(client, part))
            behind = max(0, part.high_watermark - part.next_offset)
            lag += behind
            labels: tuple[Any, ...] = (self._sink.name, part.topic, part.partition)
            metrics.CONSUMER_LAG.labels(*labels).set(behind)
            metrics.CONSUMER_OFFSET.labels(*labels).set(part.next_offset)
        redo = sum(held.pending is not None for held in self._held.values())
        metrics.CONSUMER_PENDING_REDO.labels(self._sink.name).set(redo)
        log.info(
            "progress", stored=stored, rate=round(stored / seconds), lag=lag, partitions=len(self._held), redo=redo
        )


def _at_once(client: Consumer, most: int, wait: float) -> list[Message]:
    """What is here, as soon as something is; `consume` alone waits all the time for `most`. wait: seconds."""
    first = client.poll(wait)
    return [] if first is None else [first, *client.consume(most - 1, 0)]
