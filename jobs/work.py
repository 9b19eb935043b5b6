"""What each job does: the function behind it, and its answer in a sentence."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from django.conf import settings

from jobs import drift, retention, sweep, watch
from jobs.drift import Place
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
    """Goes on where the last run had to stop."""
    report = sweep.sweep(
        clock.now(),
        after=run.memory.get("after", 0),
        left=lambda: run.deadline - monotonic(),
        dry_run=run.dry_run,
        progress=_adding_up(run),
    )
    said = f"{report.sent:,} replayed, {report.waiting:,} not due yet, {report.left:,} left to staff"
    if report.failed:
        said += f"; Kafka did not take {report.failed:,}: {report.error}"
    if report.after is not None:
        said += "; not finished: its time was over, the next run goes on from there"
    return Done(report.sent, said, memory={"after": report.after or 0})


def check_drift(run: Run) -> Done:
    """One part each time, so that as many runs as there are parts see everything."""
    place = Place.remembered(run.memory)
    report = drift.compare(place, left=lambda: run.deadline - monotonic(), progress=_adding_up(run))
    drifted: Counter[str] = Counter()
    for one in report.drifts:
        # Where too much differed to look row by row, the difference in number is the least there is.
        found = one.missing + one.extra + one.different
        drifted[one.copy.target] += found if one.examined else max(1, abs(one.rows_here - one.rows_there))
    said = f"part {report.part} of {report.of}, {report.rows:,} rows in {report.ranges:,} ranges"
    if drifted:
        by_copy = ", ".join(f"{count:,} in {copy}" for copy, count in drifted.items())
        said += f"; rows that differ: {by_copy}. Run manage.py verify_sync --repair"
        log.warning("ClickHouse is not what PostgreSQL is: %s", said)
    elif report.ranges or not report.unfinished:
        said += ", all the same"
    if report.unfinished:
        said += f"; not finished: {report.unfinished}"
    readings = [(metrics.DRIFT_ROWS, [copy], float(drifted[copy])) for copy in report.targets]
    return Done(report.rows, said, memory=report.place.as_dict(), readings=readings)


def watch_lag(run: Run) -> Done:
    before = run.memory.get("complaints", ())
    readings, complaints = watch.look(before)
    watch.say(complaints, before)
    said = "; ".join(complaints.values()) or "all is well"
    return Done(len(complaints), said, memory={"complaints": list(complaints)}, readings=readings)


def retain(run: Run) -> Done:
    deleted = retention.delete(clock.now(), run)
    said = ", ".join(f"{count:,} {kind}" for kind, count in deleted.items())
    return Done(sum(deleted.values()), f"{'to delete' if run.dry_run else 'deleted'}: {said}")


def _adding_up(run: Run) -> Callable[[int], None]:
    """Tells how much was dealt with in all, when it is told how much more."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        run.progress(done, None)

    return more
