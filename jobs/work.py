"""What each job does: the function behind it, and its answer in a sentence."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from django.conf import settings

from ingestion import copies, reconcile
from jobs import retention, sweep, watch
from jobs.job import Done, Run
from nova import clock, metrics
from ranking import pipeline, suggestions, trending, warming

log = logging.getLogger(__name__)


def trending_of(window: str) -> Callable[[Run], Done]:
    """The job that keeps `hot:posts:{window}`."""

    def work(run: Run) -> Done:
        now = clock.now()
        if run.dry_run:
            count = len(trending.find(window, now, timeout=run.left()).posts)
        else:
            count = pipeline.refresh_trending(window, now)
        return Done(count, f"{count:,} posts are trending")

    return work


def suggested_users(run: Run) -> Done:
    """Goes on where the last run had to stop."""
    after = run.memory.get("after")
    report = suggestions.refresh(
        clock.now(),
        # Time to write the last batch.
        left=lambda: run.deadline - monotonic() - suggestions.WRITE_SECONDS,
        after=UUID(after) if after else None,
        dry_run=run.dry_run,
        progress=run.progress,
    )
    said = f"{report.viewers:,} of {report.total:,} members, {report.batches:,} batches, {report.data / 1e6:,.1f} MB"
    if report.after:
        said += "; its time was over, the next run goes on from there"
    return Done(report.viewers, said, memory={"after": str(report.after) if report.after else ""})


def warm_cache(run: Run) -> Done:
    """Takes most of its period: it looks again and again what has become cold."""
    now = clock.now()
    last = run.memory.get("at")
    since = datetime.fromisoformat(last) if last else now - timedelta(seconds=60)
    report = warming.warm(
        now, seconds=min(settings.WARM_SECONDS, run.left()), since=since, dry_run=run.dry_run, progress=run.progress
    )
    visits = {"bought": report.bought, "hit": report.hits, "miss": report.misses}
    # Counters must only rise: each run adds to what the last one left.
    counts = {feed: run.memory.get("visits", {}).get(feed, 0) + seen for feed, seen in visits.items()}
    said = (
        f"{report.ready:,} of {report.active:,} active members had a feed ready,"
        f" {report.due:,} were or became cold, {report.made:,} times one was made;"
        f" {sum(visits.values()):,} came since the last pass, {report.bought:,} of them to a feed made by the warmer"
    )
    if report.failed:
        said += f"; {report.failed:,} times in vain"
    if report.stopped:
        said += f"; {report.left:,} left: {report.stopped}"
    readings = [
        (metrics.WARMER_READY, ["before"], report.ready_share),
        (metrics.WARMER_READY, ["after"], report.ready_share_after),
        *((metrics.WARMER_VISITS, [feed], float(count)) for feed, count in counts.items()),
    ]
    return Done(report.made, said, memory={"at": now.isoformat(), "visits": counts}, readings=readings)


def dead_letter_sweep(run: Run) -> Done:
    report = sweep.sweep(clock.now(), dry_run=run.dry_run, progress=_counting(run))
    said = f"{report.sent:,} replayed, {report.waiting:,} not due yet, {report.left:,} left to staff"
    if report.failed:
        said += f"; Kafka did not take {report.failed:,}: {report.error}"
    return Done(report.sent, said)


def check_drift(run: Run) -> Done:
    """One part of `DRIFT_PARTS` each time, so that as many runs see everything."""
    number = run.memory.get("part", 0) % settings.DRIFT_PARTS + 1
    count = _counting(run)
    report = reconcile.verify(part=(number, settings.DRIFT_PARTS), progress=lambda copy, more: count(more))
    drifted: Counter[str] = Counter()
    for drift in report.drifts:
        # Where too much differed to look row by row, the difference in number is the least there is.
        found = drift.missing + drift.extra + drift.different
        drifted[drift.copy.target] += found if drift.examined else max(1, abs(drift.rows_here - drift.rows_there))
    said = f"part {number} of {settings.DRIFT_PARTS}, {report.rows:,} rows in {report.ranges:,} ranges"
    if drifted:
        by_copy = ", ".join(f"{count:,} in {copy}" for copy, count in drifted.items())
        said += f"; rows that differ: {by_copy}. Run manage.py verify_sync --repair"
        log.warning("ClickHouse is not what PostgreSQL is: %s", said)
    else:
        said += ", all the same"
    readings = [(metrics.DRIFT_ROWS, [copy.target], float(drifted[copy.target])) for copy in copies.of(None)]
    return Done(report.rows, said, memory={"part": number}, readings=readings)


def watch_lag(run: Run) -> Done:
    readings, complaints = watch.look()
    watch.say(complaints, run.memory.get("complaints", ()))
    said = "; ".join(complaints.values()) or "all is well"
    return Done(len(complaints), said, memory={"complaints": list(complaints)}, readings=readings)


def retain(run: Run) -> Done:
    deleted = retention.delete(clock.now(), run)
    said = ", ".join(f"{count:,} {kind}" for kind, count in deleted.items())
    return Done(sum(deleted.values()), f"{'to delete' if run.dry_run else 'deleted'}: {said}")


def _counting(run: Run) -> Callable[[int], None]:
    """Adds up what was dealt with and tells it. The callback raises `OutOfTime` at the bound."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        run.progress(done, None)
        run.left()

    return more
