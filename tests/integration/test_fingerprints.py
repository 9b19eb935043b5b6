"""What a copy is compared by: both databases must write a value alike."""

from ingestion.copies import _KINDS
from ingestion.decoders.base import Date, Decimal
from nova import clickhouse
from tests.world import World


def test_both_databases_write_decimals_and_dates_alike(world: World) -> None:
    """For the tables of a deployment's own, which would differ for ever otherwise."""
    for alias, values in {
        Decimal: ["0", "1.50000", "-0.0000001", "100", "12345678901234567890.12"],
        Date: ["1900-01-01", "2026-11-23", "2299-12-31"],
    }.items():
        kind = _KINDS[alias]
        for value in values:
            here = world.sql_one(
                f"SELECT {kind.written_here.format('v')} FROM (SELECT '{value}'::{kind.postgres} AS v)"
            )
            there = clickhouse.query(
                f"SELECT {kind.written_there.format('v')} FROM (SELECT CAST('{value}', '{kind.clickhouse}') AS v)"
            )
            assert [(here,)] == there
