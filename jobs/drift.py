"""The drift check: each run compares one part of ClickHouse's copies with PostgreSQL, one source table after the other.

A run that reaches its bound keeps what it has compared, and the next one goes on with the table that was interrupted. A
table that has a whole run and is still too much for it is left for this round, and all parts are cut in two from then
on. So no table and no part keeps the later ones away for ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from django.conf import settings

from ingestion import copies, reconcile
from ingestion.reconcile import Drift
from jobs.job import OutOfTime

# What differs is looked at again for so many seconds, in which nobody looks at the clock; then it takes some to end.
PATIENCE = reconcile.PATIENCE
_END_SECONDS = 5.0
_FINEST = 1024


@dataclass(frozen=True)
class Place:
    """Where the check stands. part: the last one that is done, from 1; tables: those of the next part that are done;
    finer: each of the `DRIFT_PARTS` is cut into so many."""

    part: int = 0
    tables: tuple[str, ...] = ()
    finer: int = 1

    @classmethod
    def remembered(cls, memory: Mapping[str, Any]) -> Self:
        return cls(memory.get("part", 0), tuple(memory.get("tables", ())), memory.get("finer", 1))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Report:
    """What a run did. part, of: which one; rows, ranges: compared in it; drifts: what differs; targets: the copies that
    were compared; place: where the next run begins; unfinished: why it is not the next part, or ""."""

    part: int
    of: int
    place: Place
    rows: int = 0
    ranges: int = 0
    drifts: list[Drift] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    unfinished: str = ""


def compare(place: Place, *, left: Callable[[], float], progress: Callable[[int], None]) -> Report:
    """Compare the part after `place`, or what is left of it.

    left: the seconds until the bound; progress: told the rows compared since it was last told. Raises as
    `reconcile.verify` does.
    """
    of = settings.DRIFT_PARTS * place.finer
    report = Report(place.part % of + 1, of, place)
    done, finer = list(place.tables), place.finer
    tables = list(dict.fromkeys(copy.table for copy in copies.of(None)))
    first = True

    def more(copy: str, rows: int) -> None:
        progress(rows)
        if left() < PATIENCE + _END_SECONDS:
            raise OutOfTime("the bound is near")

    for table in [table for table in tables if table not in done]:
        try:
            if not first:
                more("", 0)
            found = reconcile.verify([table], part=(report.part, of), patience=PATIENCE, progress=more)
        except OutOfTime:
            report.unfinished = f"the next run goes on with {table}"
            if first:
                done, finer = [*done, table], min(2 * finer, _FINEST)
                report.unfinished = (
                    f"{table} takes longer than a run, so there are {settings.DRIFT_PARTS * finer} parts"
                )
            break
        first = False
        done.append(table)
        report.rows, report.ranges = report.rows + found.rows, report.ranges + found.ranges
        report.drifts += found.drifts
        report.targets += [copy.target for copy in copies.of([table])]
    whole = set(tables) <= set(done)
    if whole and report.part == of and finer > 1:
        # A whole round went well: it may have been one slow night that cut it so fine.
        finer //= 2
    report.place = Place(report.part, (), finer) if whole else Place(report.part - 1, tuple(done), finer)
    return report
