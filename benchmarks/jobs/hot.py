"""Trending: what each window costs by itself, and what one pass over the longest for all three would cost."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from statistics import median

from benchmarks.jobs.community import identifier
from benchmarks.jobs.suggested import SERVER, meter
from nova import clickhouse, clock
from ranking import queries, trending

_ROUNDS = 3
_REACTIONS_PER_POST = 40
_REACTORS = 100_000


def windows(posts: int, pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of ClickHouse's CPU: of each window, of all in one pass, in an hour, and what one pass would spare."""
    _react(posts)
    now = clock.now()
    spent = {window: _cpu(pids, partial(trending.find, window, now, timeout=120)) for window in trending.WINDOWS}
    together = _cpu(pids, lambda: clickhouse.query(_in_one_pass(queries.moment(now)), timeout=120))
    hourly = sum(spent[w] * timedelta(hours=1).total_seconds() / trending.PERIODS[w] for w in spent)
    # Once an hour the three fall together.
    spared = sum(spent.values()) - together
    figures = {**spent, "one_pass": together, "an_hour": hourly, "spared_in_an_hour_by_one_pass": spared}
    return {name: round(value, 3) for name, value in figures.items()}


def _react(posts: int) -> None:
    clickhouse.command(
        "INSERT INTO post_metrics_1h SELECT toStartOfHour(now()) - INTERVAL number % 168 HOUR,"
        f" {identifier(f'rand(1) % {posts}')}, generateUUIDv4(), 1, 1, 0, 1, 0, 0, 0, 1,"
        f" arrayReduce('uniqState', [{identifier(f'rand(2) % {_REACTORS}')}])"
        f" FROM numbers({posts * _REACTIONS_PER_POST})",
        timeout=600,
    )


def _in_one_pass(now: str) -> str:
    moment = f"toDateTime('{now[:19]}', 'UTC')"
    decayed = f"momentum * exp(-0.1 * greatest(0, dateDiff('second', hour, {moment})) / 3600)"
    columns, people = [], []
    for window, span in trending.WINDOWS.items():
        within = f"hour >= toStartOfHour({moment} - INTERVAL {int(span.total_seconds())} SECOND)"
        columns += [f"sumIf({decayed}, {within}) AS v{window}", f"uniqMergeIf(reactors, {within}) AS p{window}"]
        people.append(f"p{window}")
    return (
        f"SELECT post_id, {', '.join(columns)} FROM post_metrics_1h WHERE {within} GROUP BY post_id"
        f" HAVING greatest({', '.join(people)}) >= 3 ORDER BY v{window} DESC LIMIT 1000"
    )


def _cpu(pids: Mapping[str, int], call: Callable[[], object]) -> float:
    """The median of some rounds."""
    found = []
    for _ in range(_ROUNDS):
        with meter(pids) as spent:
            call()
        found.append(spent.cpu[SERVER])
    return median(found)
