"""The pure parts of backfill, verify_sync and rebuild_views."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime

import pytest

from ingestion import copies, rebuild, reconcile, source
from ingestion.decoders import ROWS
from ingestion.envelope import LSN_LIMIT, Change
from ingestion.fingerprints import BEYOND, Range, batches
from ingestion.management.commands.verify_sync import part
from ingestion.reconcile import Drift, Report

HORIZON = 0x16B3748  # an LSN, so a multiple of 8


def changed(op: str, lsn: int, epoch: int = 0) -> int:
    return Change(op=op, table="posts", before=None, after=None, lsn=lsn).version(epoch)  # type: ignore[arg-type]


def test_what_was_read_loses_to_every_change_it_may_lack() -> None:
    read = source.version(0, HORIZON)
    # A change at the horizon, the key that such a change leaves (one less), and a snapshot's row.
    assert read < changed("u", HORIZON) - 1
    assert read < changed("r", HORIZON)


def test_what_was_read_wins_over_every_change_it_contains() -> None:
    assert source.version(0, HORIZON) > changed("u", HORIZON - 8)
    assert source.version(0, HORIZON) > changed("r", HORIZON - 8)


def test_a_new_epoch_wins_over_the_longest_log() -> None:
    assert source.version(3, 8) > source.version(2, LSN_LIMIT - 8)
    assert source.version(255, LSN_LIMIT - 8) < 2**64


@pytest.mark.parametrize("horizon", [0, -8, LSN_LIMIT])
def test_no_horizon_no_version(horizon: int) -> None:
    with pytest.raises(ValueError, match="no LSN"):
        source.version(0, horizon)


def drift(**counts: int | bool) -> Drift:
    return Drift(copies.COPIES[0], Range("", BEYOND), 5, 5, **counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drifts", "code"),
    [
        ([], 0),
        ([drift(missing=1)], 1),
        ([drift(missing=1, repaired=1)], 2),
        ([drift(missing=1, extra=2, different=1, repaired=3)], 1),
        ([drift(extra=1, repaired=1), drift(different=1)], 1),
        ([drift(examined=False)], 1),
    ],
)
def test_the_exit_code_says_what_is_left(drifts: list[Drift], code: int) -> None:
    assert Report(drifts=drifts).exit_code == code


def test_every_table_and_every_column_is_compared() -> None:
    assert {copy.table for copy in copies.of(None)} == set(ROWS)
    for copy in copies.COPIES[: len(ROWS)]:
        assert set(copy.columns) == {name for name, _, _ in ROWS[copy.table].columns()}
    # Those in another order can be compared too.
    assert {copy.target for copy in copies.of(["posts"])} == {"posts_cdc", "posts_by_author"}
    for copy in copies.COPIES:
        assert copy.ranged_by in copy.columns
        assert set(copy.key) <= set(copy.columns)
        # As psycopg would see it.
        assert "%" not in copy.fingerprint_here


def test_a_wrong_name_is_told() -> None:
    with pytest.raises(ValueError, match=r"likers: no source table; .*likes"):
        copies.of(["likers", "posts"])


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/3"])
def test_a_part_must_exist(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        part(text)


def test_a_part_is_read() -> None:
    assert part("2/7") == (2, 7)


def test_batches_hold_everything_once() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []


def test_a_day_is_whole_until_its_first_moment_reaches_its_ttl() -> None:
    now = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
    first = rebuild.first_whole_day(now)
    assert first == date(2026, 3, 2)
    assert (now - datetime(first.year, first.month, first.day, tzinfo=UTC)).days < 30
    assert rebuild.first_whole_day(now, 1) == date(2026, 3, 31)


def test_every_aggregate_has_its_view() -> None:
    for name in rebuild.AGGREGATES:
        select = rebuild._view_select(name)
        assert select.startswith("SELECT")
        # What is replaced by the part that is computed.
        assert select.count("FROM events") == 1


class Comparison:
    """Differs for so many looks."""

    def __init__(self, looks: int) -> None:
        self.left, self.looked = looks, 0

    def differs_still(self) -> bool:
        self.looked += 1
        return self.looked <= self.left


def test_patience_is_for_all_copies_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_LOOK_SECONDS", 0)
    same, soon, late = Comparison(0), Comparison(2), Comparison(5)
    reconcile._settle([same, soon, late], patience=60)  # type: ignore[list-item]
    assert [one.looked for one in (same, soon, late)] == [1, 3, 6]
    drifted = Comparison(10**9)
    reconcile._settle([drifted], patience=0)  # type: ignore[list-item]
    assert drifted.looked == 1
