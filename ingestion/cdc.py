"""The sink of the source tables' changes: at least once, into copies where the newest version of a row wins.

Everything here may happen twice: rows carry the version of their change, reactions an id that follows from their row.
So the ledger moves last, together with the dead letters, and a crash before that only repeats.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Message
from django.conf import settings
from django.db import connection

from ingestion import bulk, connector, dead_letters, envelope, ledger, preflight, reactions, truncation
from ingestion.contract import Event
from ingestion.decoders import ROWS, Row, encode
from ingestion.effects import Effects, announce
from ingestion.errors import EXIT_SETTINGS, Halt, InvalidMessage
from ingestion.ledger import Partition, Pending
from ingestion.models import DeadLetter
from ingestion.together import Together
from nova import clickhouse, clock, topics
from nova.errors import Permanent, Transient
from nova.kafka import offset_of
from nova.metrics import CONSUMER_BATCH_ROWS, CONSUMER_BATCH_SECONDS, CONSUMER_DEAD_LETTERS, CONSUMER_ROWS

log = structlog.get_logger(__name__)

NAME = "cdc"
# A change should be seen at once: what one poll brings is one batch of each partition, and many share an insert.
BATCH_SECONDS = 0.0
WORKERS = 8
_MOST_ROWS = 100_000
# An insert costs ClickHouse about the same for one row as for a thousand; a change may wait so long for others.
_APART_SECONDS = 0.08


@dataclass
class Batch:
    """A decoded batch. truncated: (table, version) in order; limits: how many dead letters there were lately;
    published: how many of the events the broker has acknowledged, in this try or an earlier one."""

    rows: list[Row] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    truncated: list[tuple[str, int]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    effects: Effects = field(default_factory=Effects)
    limits: dead_letters.Limits = field(default_factory=dead_letters.Limits)
    published: int = 0


class CdcSink:
    """Stores the changes of all source tables."""

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.topics: Sequence[str] = topics.CDC
        self._epoch = 0
        self._tables = {table: Together(_store, most=_MOST_ROWS, apart=_APART_SECONDS) for table in ROWS}

    def prepare(self) -> None:
        """Check the source tables and the connector, and learn the restore epoch."""
        with ledger.answering():
            if tables := connector.tables_without_full_old_rows():
                raise Halt(
                    f"{', '.join(tables)}: not published with REPLICA IDENTITY FULL, so their deletions could not be "
                    "followed. Run manage.py migrate",
                    EXIT_SETTINGS,
                )
        check_connector()
        preflight.check_tables([*(row.TARGET for row in ROWS.values()), "truncations"])
        [(self._epoch,)] = clickhouse.query("SELECT max(epoch) FROM restore_epochs")
        log.info("cdc_prepared", restore_epoch=self._epoch)

    def redo(self, part: Partition, pending: Pending, messages: list[Message]) -> None:
        """Never called in earnest, since this sink leaves no batch pending; a repeat is a flush like any other."""
        self.flush(part, messages)

    def flush(self, part: Partition, messages: list[Message]) -> None:
        """Store one batch: rows, then what they count as, then the ledger with the dead letters."""
        try:
            self._flush(part, messages)
        finally:
            # Back to the pool: there may be more threads than connections, and a thread keeps its own otherwise.
            connection.close()

    def _flush(self, part: Partition, messages: list[Message]) -> None:
        new = [message for message in messages if offset_of(message) >= part.next_offset]
        if not new:
            return
        if not isinstance(part.memo, Batch):
            with CONSUMER_BATCH_SECONDS.labels(self.name, "decode").time():
                part.memo = self.decode(part, new)
        batch: Batch = part.memo
        with CONSUMER_BATCH_SECONDS.labels(self.name, "insert").time():
            if batch.rows:
                self._tables[batch.rows[0].TABLE].submit(batch.rows)
            self._truncate(batch)
            _publish_rest(batch)
        with CONSUMER_BATCH_SECONDS.labels(self.name, "ledger").time():
            ledger.advance(part, hi=offset_of(new[-1]), letters=batch.letters)
        dead_letters.note(part, batch.limits)
        self._afterwards(part, batch)

    def decode(self, part: Partition, messages: list[Message]) -> Batch:
        """What a batch's messages mean. Raises `Halt` when a column is gone or too many cannot be read."""
        batch, failed, unavailable = Batch(), [], connector.unavailable_value()
        for position, message in enumerate(messages):
            try:
                self._decode(message, unavailable, batch)
            except InvalidMessage as error:
                if not dead_letters.is_replay(message):
                    failed.append(position)
                batch.letters.append(dead_letters.letter(part, message, error))
            except Halt as error:
                raise Halt(f"{part} @ {message.offset()}: {error}", error.exit_code) from error
        batch.limits = dead_letters.weigh(part, len(messages), failed)
        return batch

    def _decode(self, message: Message, unavailable: str, batch: Batch) -> None:
        change = envelope.parse(message.value(), unavailable=unavailable)
        if change is None:
            return
        if topics.of_table(change.table) != message.topic() or change.table not in ROWS:
            raise InvalidMessage("not_an_envelope", "source.table", f"{change.table!r} does not belong in this topic")
        if change.op == "t":
            batch.truncated.append((change.table, change.version(self._epoch)))
            batch.effects.truncated(change.table)
            return
        decoded = ROWS[change.table].from_change(change, epoch=self._epoch)
        batch.rows += decoded.rows
        batch.events += reactions.events_of(decoded, now=clock.now())
        batch.effects.add(decoded)

    def _truncate(self, batch: Batch) -> None:
        for table, version in batch.truncated:
            log.warning("table_truncated", table=table, version=version)
            for rows in truncation.empty(table, version):
                bulk.publish(_taken_back(rows))

    def _afterwards(self, part: Partition, batch: Batch) -> None:
        """What may be lost without harm: feeds learn of it by their age, dead letters are published later."""
        for letter in batch.letters:
            CONSUMER_DEAD_LETTERS.labels(self.name, part.topic, letter.reason).inc()
        if batch.rows:
            CONSUMER_ROWS.labels(self.name, batch.rows[0].TARGET).inc(len(batch.rows))
            CONSUMER_BATCH_ROWS.labels(self.name).observe(len(batch.rows))
        announce(batch.effects, now=clock.now())
        if batch.letters:
            dead_letters.try_to_publish(self.name)


def check_connector() -> None:
    """Compare the live connector with the wanted configuration; without Connect, go on with what is in Kafka already.

    Raises `Halt` when a setting that the decoders rely on is another one.
    """
    try:
        different = connector.config_differences()
    except (Transient, Permanent) as error:
        log.warning("connector_not_checked", error=str(error))
        return
    if shaping := [str(difference) for difference in different if difference.shapes_messages]:
        raise Halt(
            f"the connector {settings.CDC_CONNECTOR} writes messages that would be misread: {'; '.join(shaping)}. "
            "Run manage.py setup_cdc",
            EXIT_SETTINGS,
        )
    for difference in different:
        log.warning("connector_differs", setting=difference.key)


def _store(rows: list[Row]) -> None:
    """Insert rows of one table; those that a TRUNCATE has overtaken are deleted again, and their counts taken back.

    A repeat is written anew and not absorbed by a token: the versions make it harmless, and a token could drop rows
    that somebody deleted, or that a mended decoder reads otherwise.
    """
    _insert(rows)
    if behind := truncation.behind_barrier(rows):
        _insert(behind)
        bulk.publish(_taken_back(behind))


def _insert(rows: list[Row]) -> None:
    columns = list(rows[0].to_clickhouse())
    clickhouse.insert_bytes(rows[0].TARGET, columns, encode(rows), fmt="JSONEachRow", token=secrets.token_hex(16))


def _taken_back(rows: Iterable[Row]) -> list[Event]:
    now = clock.now()
    return [
        event
        for row in rows
        if isinstance(row, reactions.Reaction)
        for event in reactions.event(row, taken_back=True, now=now)
    ]


def _publish_rest(batch: Batch) -> None:
    """Write a batch's reactions to the events topic, piece by piece: a slow broker would take the whole in no try."""
    while piece := batch.events[batch.published : batch.published + bulk.EVENTS_AT_ONCE]:
        bulk.publish(piece)
        batch.published += len(piece)
