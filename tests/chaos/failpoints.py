"""The named steps of a consumer at which it can be made to die or to fall asleep. A table, nothing more.

`tests.chaos.armed` wraps the step from outside, in a process of its own; the consumers know nothing of it.
"""

from dataclasses import dataclass
from typing import Literal

When = Literal["before", "during", "after"]


@dataclass(frozen=True)
class Failpoint:
    """A step: `module:attribute` of the callable. seldom: so rarely reached that its first time must do."""

    name: str
    step: str
    when: When
    seldom: bool = False

    def __str__(self) -> str:
        return self.name


_SHARED = (
    Failpoint("assigned", "ingestion.ledger:claim", "after", seldom=True),
    Failpoint("in the ledger", "ingestion.ledger:_guarded", "after"),
    Failpoint("commit", "ingestion.assignment:commit", "before"),
    Failpoint("revoked", "ingestion.consumer:Runtime._on_revoke", "before", seldom=True),
    Failpoint("drained", "ingestion.consumer:Runtime._drain", "after", seldom=True),
)
EVENTS = (
    *_SHARED,
    Failpoint("claim", "ingestion.dedup:decide", "after"),
    Failpoint("BEFORE", "ingestion.ledger:before", "after"),
    Failpoint("checked", "ingestion.ledger:check", "after"),
    Failpoint("insert", "ingestion.writer:insert", "during"),
    Failpoint("inserted", "ingestion.writer:insert", "after"),
    Failpoint("AFTER", "ingestion.ledger:after", "after"),
    Failpoint("dead letter", "ingestion.dead_letters:letter", "after", seldom=True),
    Failpoint("dlq", "ingestion.dead_letters:_send", "before", seldom=True),
    Failpoint("redo", "ingestion.events:EventsSink.redo", "during", seldom=True),
)
CDC = (
    *_SHARED,
    Failpoint("decoded", "ingestion.cdc:CdcSink.decode", "after"),
    Failpoint("insert", "ingestion.cdc:_insert", "during"),
    Failpoint("inserted", "ingestion.cdc:_insert", "after"),
    Failpoint("publish", "ingestion.bulk:publish", "during"),
    Failpoint("advance", "ingestion.ledger:advance", "after"),
)
REDO = EVENTS[-1]
# Whoever dies here leaves a batch that the next one must redo.
LEAVES_PENDING = frozenset({"BEFORE", "checked", "insert", "inserted"})
