"""The hits that the cache warmer buys: the same community and the same visits without it and with it, and its price.

    python -m benchmarks.feed.warm     on a stack of its own; last line of stdout: the figures as JSON

A hit is an answer from a kept feed, as `cache_hit` says: a fresh one, or one past its soft age, which is served while
it is made anew. Ages and the warmer's period and pace are those of production. It keeps 300 members warm, not 1,000:
they come and post in a quicker pace than members would, and readers, engines and Nova share one machine, which ranks
little more than ten feeds a second. Sessions of those who come often lie 50 to 130 s apart, where it would be minutes,
and their feeds are invalidated in the same proportion more often. That is harder for the warmer, whose looks keep their
pace.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from benchmarks.feed import warm_community as community
from benchmarks.feed.warm_visits import CURRENT, INVALIDATED, NONE, OFTEN, OTHERS, SELDOM, Readers, Reading, cache, plan
from benchmarks.ingest.bench import Bench, wait_until
from benchmarks.ingest.meters import cpu_seconds
from benchmarks.ingest.visible import quantiles
from benchmarks.stack import own_stack
from benchmarks.tables import RESULTS
from embedded.errors import StackError
from embedded.paths import ROOT
from embedded.process import Process
from embedded.service import http_ok

GOAL = 0.9
SOFT_SECONDS = 60
# A whole first pass of the warmer lies before what is counted.
_WARM_UP, _COUNTED = 55.0, 60.0
_ENGINES = {"ClickHouse": "clickhouse", "Redis": "redis", "PostgreSQL": "postgres"}
# What a feed was that a member came to, when no feed could be served.
_CAUSES = {NONE: "nothing kept", INVALIDATED: "invalidated", CURRENT: "other"}
_TASK = "jobs.warmer"
Say = Callable[[str], None]


def measure(bench: Bench, say: Say = lambda line: None) -> dict[str, Any]:
    """Both phases, about four minutes. Takes a stack on which no process of Nova runs, whose ledger nobody else needs.

    Found: off, on (see `_figures`), goal, met. Raises RuntimeError or TimeoutError when a process fails.
    """
    bench.manage("migrate", "--noinput")
    bench.new_topics()
    bench.forget_claims()
    say("making the community")
    people = community.make(bench)
    bench.manage("setup_cdc")
    _switch(bench, on=False)
    with bench.database() as database:
        community.give_past(bench, database, people)
        with _processes(bench, database) as (url, running):
            community.wait_for_copies(bench, database, people)
            # Else each ranking would work it out.
            wait_until(lambda: cache(bench).exists("hot:posts:24h"), "the trending list")
            readers = Readers(bench, url, people)
            found: dict[str, Any] = {"goal": GOAL, "members": len(people.members), "active": len(people.active)}
            for phase in ("off", "on"):
                _forget_feeds(bench)
                _switch(bench, on=phase == "on")
                say(f"the warmer is {phase}")
                found[phase] = _phase(bench, people, readers, running)
            _switch(bench, on=False)
    found["met"] = found["on"]["active"]["hits"] > GOAL
    return found


def _phase(
    bench: Bench, people: community.Community, readers: Readers, running: Mapping[str, Process]
) -> dict[str, Any]:
    """One phase: the warm-up, then what counts."""
    visits = plan(people, _WARM_UP, _WARM_UP + _COUNTED, seed=5)
    began_at = time.time()
    with community.going_on(bench, people):
        readers.make([visit for visit in visits if visit.at < _WARM_UP], since=0)
        before, began = _cpu(bench, running), time.monotonic()
        rest = readers.make([visit for visit in visits if visit.at >= _WARM_UP], since=_WARM_UP)
        seconds, after = time.monotonic() - began, _cpu(bench, running)
    cores = {side: round((after[side] - before[side]) / seconds, 3) for side in after}
    return {**_figures(rest), "cores": cores, "cores_in_all": round(sum(cores.values()), 2), **_runs(bench, began_at)}


def _figures(readings: Sequence[Reading]) -> dict[str, Any]:
    """By group of readers: how many readings, the share of hits among them and among the first of each session."""

    def of(some: Sequence[Reading]) -> dict[str, Any]:
        opened = [one for one in some if one.visit.kind == "open"]
        misses = Counter(_CAUSES[one.found] for one in opened if not one.hit)
        return {
            "readings": len(some),
            "hits": _share(some, lambda one: one.hit),
            "sessions": len(opened),
            "hits_of_first_readings": _share(opened, lambda one: one.hit),
            "fresh": _share(opened, lambda one: one.hit and one.age <= SOFT_SECONDS),
            "past_soft_age": _share(opened, lambda one: one.hit and one.age > SOFT_SECONDS),
            "misses": {cause: round(count / len(opened), 4) for cause, count in misses.items()},
            "ms": quantiles([one.seconds for one in some]) if some else {},
            "first_ms": quantiles([one.seconds for one in opened]) if opened else {},
        }

    groups = {name: [one for one in readings if one.visit.group == name] for name in (OFTEN, SELDOM, OTHERS)}
    return {
        "active": of(groups[OFTEN] + groups[SELDOM]),
        **{name: of(some) for name, some in groups.items()},
        "failed": sum(one.status != 200 for one in readings),
        "late_ms": quantiles([one.late for one in readings]),
    }


def _share(some: Sequence[Reading], holds: Callable[[Reading], bool]) -> float:
    return round(sum(map(holds, some)) / len(some), 4) if some else 0.0


def _cpu(bench: Bench, running: Mapping[str, Process]) -> dict[str, float]:
    sides = {side: bench.pids[engine] for side, engine in _ENGINES.items()}
    sides |= {name: child.pid for name, child in running.items()}
    return {side: cpu_seconds(pid) for side, pid in sides.items()}


def _runs(bench: Bench, since: float) -> dict[str, Any]:
    """What the warmer says of its passes in this phase, and how often the breaker opened."""
    with bench.postgres() as connection:
        opened = connection.execute(
            "SELECT count(*) FROM ranking_breakerevent WHERE after = 'open' AND at >= to_timestamp(%s)", (since,)
        ).fetchone()
        rows = connection.execute(
            "SELECT items, summary FROM job_runs WHERE job = 'warmer' AND started_at >= to_timestamp(%s)"
            " ORDER BY started_at",
            (since,),
        ).fetchall()
    return {
        "breaker_opened": opened[0] if opened else 0,
        "rankings_by_the_warmer": sum(row[0] for row in rows),
        "passes": [row[1] for row in rows],
    }


def _switch(bench: Bench, *, on: bool) -> None:
    """Switch the warmer's schedule on or off, as staff would in the admin."""
    with bench.postgres() as connection:
        connection.execute("UPDATE django_celery_beat_periodictask SET enabled = %s WHERE task = %s", (on, _TASK))
        connection.execute(
            "INSERT INTO django_celery_beat_periodictasks (ident, last_update) VALUES (1, now())"
            " ON CONFLICT (ident) DO UPDATE SET last_update = now()"
        )


def _forget_feeds(bench: Bench) -> None:
    """A cache without feeds, as after it was lost."""
    client = cache(bench)
    for pattern in ("feed:v1:*", "gen:v1:*", "warm:v2:*", "limit:v1:*"):
        names = list(client.scan_iter(pattern, count=5000))
        for start in range(0, len(names), 5000):
            client.unlink(*names[start : start + 5000])


@contextmanager
def _processes(bench: Bench, database: str) -> Iterator[tuple[str, dict[str, Process]]]:
    """All of Nova's processes as the embedded stack runs them; the web server's address, and the processes by name."""
    web, events, cdc = bench.ports("web", "events", "cdc")
    environment = bench.environment(database, STATIC_ROOT=str(bench.var / "static"), WARM_MEMBERS=str(community.ACTIVE))
    python, manage = sys.executable, str(ROOT / "manage.py")
    celery = (python, "-m", "celery", "-A", "nova")
    granian = (python, "-m", "granian", "--interface", "wsgi", "nova.wsgi:application", "--host", "127.0.0.1")
    commands: dict[str, tuple[str, ...]] = {
        "web": (*granian, "--port", str(web), "--workers", "2", "--blocking-threads", "8", "--no-ws"),
        "events consumer": (python, manage, "run_events_consumer"),
        "CDC consumer": (python, manage, "run_cdc_consumer"),
        "worker": (*celery, "worker", "--concurrency=3", "--loglevel=INFO", "--without-gossip", "--without-mingle"),
        "beat": (*celery, "beat", "--pidfile=", "--loglevel=INFO"),
    }
    health = {"web": f"{web}/livez", "events consumer": f"{events}/healthz", "CDC consumer": f"{cdc}/healthz"}
    ports = {"events consumer": events, "CDC consumer": cdc}
    running: dict[str, Process] = {}
    try:
        for name, command in commands.items():
            own = environment | ({"HEALTH_PORT": str(ports[name])} if name in ports else {})
            running[name] = bench.process(f"warm-{name.replace(' ', '-')}", *command, env=own)
        for name, address in health.items():
            wait_until(_up(running[name], f"http://127.0.0.1:{address}"), name)
        yield f"http://127.0.0.1:{web}", running
        if ended := [name for name, child in running.items() if child.exit_code() is not None]:
            raise RuntimeError(f"ended by itself: {', '.join(ended)}; the logs lie in {bench.var / 'log'}")
    finally:
        for child in reversed(running.values()):
            child.signal(15)
        for child in running.values():
            child.wait(40)
            child.signal_all(9)


def _up(child: Process, address: str) -> Callable[[], bool]:
    return lambda: child.exit_code() is not None or http_ok(address)


def main() -> int:
    console = Console(stderr=True)
    try:
        with own_stack("bench-warm") as stack:
            pids = {name: part.pid for name, part in stack.parts.items() if part.pid}
            found = measure(Bench(stack.env, pids, stack.var), console.print)
    except (StackError, RuntimeError, TimeoutError) as error:
        console.print(f"[red]{error}")
        return 1
    (RESULTS / "warm.json").write_text(json.dumps({"cores": os.cpu_count(), **found}, indent=2) + "\n")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
