"""What is decided when ClickHouse answers with an error."""

import pytest

from nova import clickhouse
from nova.errors import Overloaded, Permanent, Transient

TOO_MANY_DAYS = "Too many partitions for single INSERT block (more than 100)"


@pytest.mark.parametrize(
    ("code", "said", "decision"),
    [
        (241, "MEMORY_LIMIT_EXCEEDED", Overloaded),
        (252, "Too many parts (3001)", Overloaded),
        (439, "CANNOT_SCHEDULE_TASK", Overloaded),
        (745, "SERVER_OVERLOADED", Overloaded),
        (32, "ATTEMPT_TO_READ_AFTER_EOF", Transient),
        (198, "DNS_ERROR", Transient),
        (242, "TABLE_IS_READ_ONLY", Transient),
        (279, "ALL_CONNECTION_TRIES_FAILED", Transient),
        (473, "DEADLOCK_AVOIDED", Transient),
        (60, "UNKNOWN_TABLE", Permanent),
        (252, TOO_MANY_DAYS, Permanent),
    ],
)
def test_what_waiting_mends_is_tried_again_and_nothing_else(code, said, decision):
    assert type(clickhouse.classify(code, said)) is decision
