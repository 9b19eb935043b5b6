"""The types of columns that Nova's own tables do not have: what they read, what they refuse, what ClickHouse gets."""

import datetime
import decimal
from typing import Any, get_args

import pytest

from ingestion.decoders.base import Date, Decimal

DECIMAL, DATE = (get_args(alias)[1] for alias in (Decimal, Date))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1.50000", "1.50000"),
        ("-12", "-12"),
        ("1E-7", "0.0000001"),
        ("2E+3", "2000"),
        ("9" * 38, "9" * 38),
        (decimal.Decimal("0.10"), "0.10"),
    ],
)
def test_a_number_keeps_its_digits(value: Any, written: str) -> None:
    assert DECIMAL.write(DECIMAL.read(value)) == written


@pytest.mark.parametrize("value", ["AfQ=", "", "NaN", "Infinity", "1,5", " 1", "0x1", "١", 1.5, 1, None, True, b"1"])
def test_what_is_no_decimal_spelling_is_refused(value: Any) -> None:
    """Base64 (`precise`), a float (`double`): a connector that is set otherwise."""
    with pytest.raises(ValueError, match="decimal"):
        DECIMAL.read(value)


def test_numbers_that_psycopg_has_and_clickhouse_has_not_are_refused() -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match="decimal"):
            DECIMAL.read(decimal.Decimal(value))


@pytest.mark.parametrize("value", ["2026-11-23", "2026-11-23Z", datetime.date(2026, 11, 23)])
def test_a_date_is_a_day(value: Any) -> None:
    assert DATE.write(DATE.read(value)) == "2026-11-23"


@pytest.mark.parametrize(
    "value",
    [
        *(20780, "20780", "2026-11-23T00:00:00Z", "23.11.2026", "20261123", "2026-W48-1", "2026-02-30", "infinity"),
        *(
            "1899-12-31",
            "2300-01-01",
            None,
            datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC),
            datetime.date(1, 1, 1),
        ),
    ],
)
def test_what_is_no_date_is_refused(value: Any) -> None:
    """Days since 1970 (`adaptive`), other spellings, and what a Date32 would clamp."""
    with pytest.raises(ValueError):  # noqa: PT011, the calendar has words of its own
        DATE.read(value)
