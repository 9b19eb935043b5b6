"""How fast the heavy jobs are, and how that grows: `python -m benchmarks.jobs` against the engines of the environment.

Suggestions: communities of growing size in a database of their own (40 follows a member, 7 of 10 among 500 neighbours,
the rest by popularity; 20 reactions a member), the whole job with writing to Redis. CPU is what the ClickHouse server
used, which other load on the machine changes less than the clock.

Trending: the three windows one by one, and in one pass over the longest.

Absolute numbers are this machine's; the ratios travel. The last line is JSON.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import django

FOLLOWS, REACTIONS, NEIGHBOURS = 40, 20, 500
GOAL_MEMBERS, GOAL_SECONDS = 1_000_000, 600
DATABASE = "nova_bench_jobs"
# A member's id from their number: the same in every table.
_ID = (
    "reinterpretAsUUID(concat("
    "reinterpretAsString(sipHash64(toUInt64({0}))), reinterpretAsString(sipHash64(toUInt64({0}), 1))))"
)


@dataclass(frozen=True)
class Suggested:
    """One measurement. seconds: of the whole job; prepare: of these before the first batch; cpu: of the server."""

    members: int
    viewers: int
    seconds: float
    prepare: float
    cpu: float
    bytes_per_viewer: float

    @property
    def per_second(self) -> float:
        return self.viewers / self.seconds

    @property
    def cores(self) -> float:
        """How many cores the server had on average; far fewer than there are when others used the machine too."""
        return self.cpu / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU for one viewer."""
        return 1e6 * self.cpu / self.viewers


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[50_000, 200_000, GOAL_MEMBERS], metavar="N")
    parser.add_argument("--posts", type=int, default=200_000, help="posts with reactions in the week of trending")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
    django.setup()
    use_own_database()
    try:
        suggested = [suggestions(members) for members in sorted(given.members)]
        growth = report(suggested)
        trending = trending_windows(given.posts)
    finally:
        clickhouse().command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC", database="default")
    result = {
        "suggestions": [
            {**vars(one), "users_per_second": round(one.per_second), "cores": round(one.cores, 2)} for one in suggested
        ],
        "growth_of_cpu_per_user": growth,
        "seconds_for_a_million": round(seconds_for_goal(suggested[-1])),
        "trending": trending,
        "cores": os.cpu_count(),
    }
    text = json.dumps(result)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)
    return 0


def clickhouse() -> Any:
    """The door, which needs the settings and so cannot be imported first."""
    from nova import clickhouse

    return clickhouse


def use_own_database() -> None:
    """Everything below happens in a database of the same server that is dropped at the end."""
    from io import StringIO

    from django.conf import settings
    from django.core.management import call_command

    settings.CLICKHOUSE = {**settings.CLICKHOUSE, "database": DATABASE}
    clickhouse().command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC", database="default")
    call_command("migrate_clickhouse", stdout=StringIO())


def suggestions(members: int) -> Suggested:
    """Make a community of that size, run the job on it, and take away what it wrote."""
    from nova import clock
    from ranking import suggestions as job

    populate(members)
    say(f"{members:>10,} members: running the job")
    cpu, begun = server_cpu(), time.monotonic()
    found = job.refresh(clock.now(), left=lambda: 3600.0)
    seconds = time.monotonic() - begun
    made = Suggested(
        members,
        found.viewers,
        round(seconds, 1),
        round(found.prepare_seconds, 1),
        round(server_cpu() - cpu, 1),
        round(found.data / max(1, found.viewers)),
    )
    forget()
    return made


def populate(members: int) -> None:
    say(f"{members:>10,} members: making the community")
    ch = clickhouse()
    for table in ("follows_cdc", "user_author_90d"):
        ch.command(f"TRUNCATE TABLE {table}")
    near = f"intDiv(a, {NEIGHBOURS}) * {NEIGHBOURS} + rand(2) % {NEIGHBOURS}"
    popular = f"toUInt64(pow(rand(3) / 4294967296., 3) * {members})"
    someone = f"least({members - 1}, if(rand(1) % 10 < 7, {near}, {popular}))"
    pairs = f"SELECT intDiv(number, {{0}}) AS a, {someone} AS b FROM numbers({{1}})"
    follows = pairs.format(FOLLOWS, members * FOLLOWS)
    ch.command(
        f"INSERT INTO follows_cdc SELECT {_ID.format('a')}, {_ID.format('b')}, generateUUIDv4(), now64(6), 1, 0"
        f" FROM ({follows}) WHERE a != b",
        timeout=3600,
    )
    reactions = pairs.format(REACTIONS, members * REACTIONS)
    ch.command(
        f"INSERT INTO user_author_90d SELECT {_ID.format('a')}, {_ID.format('b')}, today() - rand(5) % 80, 1, 0, 0, 1"
        f" FROM ({reactions}) WHERE a != b",
        timeout=3600,
    )


def forget() -> None:
    """Delete the suggestions that the job wrote."""
    from nova import redis
    from ranking import suggestions as job

    client = redis.cache(10)
    for shard in range(16):
        rows = clickhouse().query(
            "SELECT DISTINCT follower_id FROM follows_cdc WHERE cityHash64(follower_id) % 16 = {shard:UInt8}",
            {"shard": shard},
            timeout=120,
        )
        for start in range(0, len(rows), 5000):
            client.unlink(*(job.key(row[0]) for row in rows[start : start + 5000]))


def server_cpu() -> float:
    """Seconds of CPU that the ClickHouse server's queries have used since it was started."""
    ((micros,),) = clickhouse().query(
        "SELECT sum(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'"
    )
    return float(micros) / 1e6


def seconds_for_goal(largest: Suggested) -> float:
    return GOAL_MEMBERS / largest.per_second


def report(found: list[Suggested]) -> dict[str, float]:
    """Print a table and how the cost of one user grows from size to size; the latter by "from→to"."""
    titles = f"{'members':>10} {'seconds':>8} {'prepare':>8} {'users/s':>8} {'CPU µs/user':>12} {'cores':>6}"
    say(f"{titles} {'bytes/user':>11}")
    for one in found:
        say(
            f"{one.members:>10,} {one.seconds:>8.1f} {one.prepare:>8.1f} {one.per_second:>8,.0f} {one.cpu_us:>12.0f}"
            f" {one.cores:>6.2f} {one.bytes_per_viewer:>11,.0f}"
        )
    growth = {}
    for small, large in pairwise(found):
        ratio = large.cpu_us / small.cpu_us
        growth[f"{small.members}->{large.members}"] = round(ratio, 2)
        say(f"{large.members / small.members:.1f} times the members: {ratio:.2f} times the CPU for one user")
    last = found[-1]
    say(
        f"a million users take {seconds_for_goal(last):,.0f} s at this rate, which had {last.cores:.2f} of"
        f" {os.cpu_count()} cores; the goal is {GOAL_SECONDS} s"
    )
    return growth


def trending_windows(posts: int) -> dict[str, float]:
    """Seconds of the server's CPU: each window by itself, and all three in one pass."""
    from nova import clock
    from ranking import queries, trending

    clickhouse().command(
        "INSERT INTO post_metrics_1h SELECT toStartOfHour(now()) - INTERVAL number % 168 HOUR,"
        f" {_ID.format(f'rand(1) % {posts}')}, generateUUIDv4(), 1, 1, 0, 1, 0, 0, 0, 1,"
        f" arrayReduce('uniqState', [{_ID.format('rand(2) % 100000')}]) FROM numbers({posts * 40})",
        timeout=600,
    )
    now = clock.now()
    spent = {}
    for window in trending.WINDOWS:
        cpu = server_cpu()
        for _ in range(3):
            trending.find(window, now, timeout=120)
        spent[window] = (server_cpu() - cpu) / 3
    decayed = "momentum * exp(-0.1 * dateDiff('second', hour, now()) / 3600)"
    marks = {
        window: f"hour >= toStartOfHour(toDateTime('{queries.moment(now - span)[:19]}', 'UTC'))"
        for window, span in trending.WINDOWS.items()
    }
    columns = ", ".join(
        f"sumIf({decayed}, {mark}) AS v{at}, uniqMergeIf(reactors, {mark}) AS p{at}"
        for at, mark in enumerate(marks.values())
    )
    cpu = server_cpu()
    for _ in range(3):
        clickhouse().query(
            f"SELECT post_id, {columns} FROM post_metrics_1h WHERE {marks['7d']} GROUP BY post_id"
            " HAVING greatest(p0, p1, p2) >= 3 ORDER BY v2 DESC LIMIT 1000",
            timeout=120,
        )
    one_pass = (server_cpu() - cpu) / 3
    hourly = {window: spent[window] * timedelta(hours=1).total_seconds() / trending.PERIODS[window] for window in spent}
    together = sum(hourly.values())
    # Once an hour the three fall together.
    spared = spent["1h"] + spent["24h"] - (one_pass - spent["7d"])
    by_window = ", ".join(f"{window} {value:.3f}" for window, value in spent.items())
    say(f"trending, CPU s: {by_window}; all in one pass {one_pass:.3f}")
    say(f"an hour of all three: {together:.2f} CPU s; one pass where they fall together would spare {spared:.2f}")
    return {
        **{name: round(value, 4) for name, value in spent.items()},
        "one_pass": round(one_pass, 4),
        "an_hour": round(together, 3),
        "spared_by_one_pass": round(spared, 3),
    }


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
