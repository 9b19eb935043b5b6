"""Is every copy what its source table holds? Compared by ranges of ids, then, where a range differs, row by row.

Both databases count the rows of a range and sum their fingerprints (ingestion/copies.py). The rows of a range that
differs are compared singly, and those that differ are looked at again for a while: the stream may be bringing them.
What still differs then, and did not change between two looks, has drifted.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ingestion import copies, fingerprints, repair
from ingestion.copies import Copy, Key
from ingestion.fingerprints import KEYS_AT_ONCE, Range, Seen

RANGE_ROWS = 10_000
PATIENCE = 15.0
# ClickHouse reads the whole copy for each window of ranges.
_RANGES_AT_ONCE = 64
# Rows that differ and are looked at singly. A backfill brings more that are missing; of more that are extra, each
# repair deletes so many.
MOST_ROWS = 100_000
_LOOK_SECONDS = 1.0
EXIT_CLEAN, EXIT_DIFFERENT, EXIT_REPAIRED = 0, 1, 2


@dataclass
class Drift:
    """A range that is not the same. missing: only in PostgreSQL; extra: only in ClickHouse; different: in both.

    examined: False when too many rows differed before its end, so that of the others only the counts are known.
    repaired: how many of the rows are the same by now.
    """

    copy: Copy
    range: Range
    rows_here: int
    rows_there: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    repaired: int = 0
    examined: bool = True

    @property
    def left(self) -> bool:
        return not self.examined or self.repaired < self.missing + self.extra + self.different


@dataclass
class Report:
    """ranges, rows: how much was compared; in_flight: rows that were still changing; drifts: what has drifted."""

    ranges: int = 0
    rows: int = 0
    in_flight: int = 0
    drifts: list[Drift] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all the same; 1: something differs; 2: something differed and has been repaired."""
        if any(drift.left for drift in self.drifts):
            return EXIT_DIFFERENT
        return EXIT_REPAIRED if self.drifts else EXIT_CLEAN


def verify(
    tables: Sequence[str] | None = None,
    *,
    part: tuple[int, int] = (1, 1),
    repair: bool = False,
    range_rows: int = RANGE_ROWS,
    patience: float = PATIENCE,
    progress: Callable[[str, int], None] = lambda copy, rows: None,
) -> Report:
    """Compare the copies of these source tables (None: of all) with PostgreSQL.

    part: (i, n), every n-th range from the i-th on, so that n runs see all; repair: send what differs anew; patience:
    seconds until what differs counts, longer than the stream usually takes; progress: told the copy's name and the rows
    compared since the last call (it may raise to end the run). Raises a `nova.errors` class or
    `django.db.DatabaseError` when a database does not answer, `ValueError` for a name that is no source table.
    """
    report = Report()
    comparisons = [_Comparison(copy, report, progress) for copy in copies.of(tables)]
    for one in comparisons:
        one.compare(part, range_rows)
    _settle(comparisons, patience)
    for one in comparisons:
        one.conclude(repair)
    return report


def _settle(comparisons: "Sequence[_Comparison]", patience: float) -> None:
    """Look at what differs until it does no more, or patience is over: once for all copies."""
    deadline = time.monotonic() + patience
    left = [one for one in comparisons if one.differs_still()]
    while left and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        left = [one for one in left if one.differs_still()]


class _Comparison:
    def __init__(self, copy: Copy, report: Report, progress: Callable[[str, int], None]) -> None:
        self._copy, self._report, self._progress = copy, report, progress
        self._drifts: list[Drift] = []
        self._suspects: dict[Key, Drift] = {}
        # The last two looks at them.
        self._before: dict[Key, Seen] = {}
        self._now: dict[Key, Seen] | None = None

    def compare(self, part: tuple[int, int], range_rows: int) -> None:
        number, of = part
        ranges = islice(fingerprints.ranges(self._copy, range_rows), number - 1, None, of)
        for window in fingerprints.batches(ranges, _RANGES_AT_ONCE):
            there = fingerprints.sums_there(self._copy, window)
            for index, one in enumerate(window):
                self._compare(one, there.get(index, (0, 0)))

    def differs_still(self) -> bool:
        """Look again at what differed when it was last looked at."""
        if self._now is None:
            self._now = fingerprints.look(self._copy, list(self._suspects))
        elif self._now:
            self._before, self._now = self._now, fingerprints.look(self._copy, list(self._now))
        return bool(self._now)

    def conclude(self, heal: bool) -> None:
        """What differs and stands still has drifted: count it, and send it anew."""
        now = self._now or {}
        drifted = {key: seen for key, seen in now.items() if self._before.get(key, seen) == seen}
        self._report.in_flight += len(now) - len(drifted)
        for key, (here, there) in drifted.items():
            drift = self._suspects[key]
            drift.missing += there is None
            drift.extra += here is None
            drift.different += here is not None and there is not None
        if heal and drifted:
            self._heal(list(drifted))
        self._report.drifts += [
            drift for drift in self._drifts if not drift.examined or drift.missing or drift.extra or drift.different
        ]

    def _compare(self, one: Range, there: tuple[int, int]) -> None:
        here = fingerprints.sum_here(self._copy, one)
        self._report.ranges += 1
        self._report.rows += here[0]
        self._progress(self._copy.target, here[0])
        if here == there:
            return
        drift = Drift(self._copy, one, here[0], there[0])
        self._drifts.append(drift)
        room = MOST_ROWS - len(self._suspects)
        if room <= 0:
            drift.examined = False
            return
        if there[0] - here[0] > room:
            # Ranges are cut by PostgreSQL's rows: between two of them, and behind the last, may be any number.
            drift.examined = False
            one = fingerprints.beginning(self._copy, one, here[0] + room)
        ours, theirs = fingerprints.rows_here(self._copy, one), fingerprints.rows_there(self._copy, one)
        for key in ours.keys() | theirs.keys():
            if ours.get(key) != theirs.get(key):
                # A key may turn up in two ranges, when its row has another id on each side. It counts once.
                self._suspects.setdefault(key, drift)

    def _heal(self, keys: list[Key]) -> None:
        # One for all: whatever changes from now on is newer.
        since = repair.horizon(self._copy)
        for some in fingerprints.batches(keys, KEYS_AT_ONCE):
            repair.heal(self._copy, some, since)
            left = fingerprints.look(self._copy, some)
            for key in some:
                self._suspects[key].repaired += key not in left
