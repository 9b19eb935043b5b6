"""The statement that makes the dictionary: whatever a password or a name holds stays within its quotes."""

from clickhouse_sql import memory

WHERE = {"database": "nova", "user": "reader", "password": "simple"}


def test_it_reads_the_table_as_that_user() -> None:
    said = memory.statement(WHERE)
    assert "USER 'reader'\n    PASSWORD 'simple'\n" in said
    assert "FROM `nova`.post_counters" in said
    assert "LIFETIME(0)\nCOMMENT '" in said


def test_quotes_and_backslashes_stay_what_they_are() -> None:
    said = memory.statement({"database": "no`va", "user": "o'neill", "password": r"a\b'c{x}"})
    assert r"USER 'o\'neill'" in said
    assert r"PASSWORD 'a\\b\'c{x}'" in said
    # A name in a text: the backslash of the name is escaped once more.
    assert r"FROM `no\\`va`.post_counters" in said
