"""A kept feed over HTTP beside a bare view that answers as many bytes: the same server, the same readers, in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any
from uuid import uuid4

import redis

from benchmarks.feed import client, serving
from benchmarks.ingest.bench import Bench
from benchmarks.ingest.meters import cpu_seconds

CONNECTIONS = 32
FEED = ("/api/feed",)
# About as long as a usual page, and so many of them that no process remembers one until it is asked for again.
_MANY = tuple(f"/api/feed?limit={posts}" for posts in range(43, 58))


def measure(
    bench: Bench, viewers: Sequence[str], *, workers: int, rounds: int, seconds: float, tell: Callable[[int], None]
) -> Mapping[str, Any]:
    """viewers: whose feeds are kept, enough for their limits. Found: of `nova` (readers who come back to their page),
    `redis` (to one that the process does not remember) and `bare` the requests per second of each round (in turns),
    CPU µs a request of each side; ratio, ratio_redis: to the bare one, the median of the rounds' own, since a machine's
    speed changes between rounds. Raises RuntimeError when an answer was no hit."""
    tokens = serving.tokens(bench, viewers)
    delete_a_post(bench)
    with serving.nova(bench, workers=workers) as (port, server):
        flood = client.Flood(port, FEED, tokens, CONNECTIONS, 3)
        forget_limits(bench)
        size = _kept(client.run(flood))["bytes"]
        with serving.bare(bench, size, workers=workers) as (bare_port, bare_server):
            sides = {
                "nova": (client.Flood(port, FEED, tokens, CONNECTIONS, seconds), server),
                "redis": (client.Flood(port, _MANY, tokens, CONNECTIONS, seconds), server),
                "bare": (client.Flood(bare_port, ["/bare"], tokens[:1], CONNECTIONS, seconds), bare_server),
            }
            client.run(sides["bare"][0])
            found: dict[str, dict[str, Any]] = {name: {"per_second": [], "cpu_us": [], "p95_ms": []} for name in sides}
            for number in range(rounds):
                for name in list(sides)[:: -1 if number % 2 else 1]:
                    asked, process = sides[name]
                    forget_limits(bench)
                    pids = {"web": process.pid, "Redis": bench.pids["redis"]}
                    before = {side: cpu_seconds(pid) for side, pid in pids.items()}
                    got = client.run(asked)
                    if name != "bare":
                        _kept(got)
                    count = got["requests"]
                    used = {side: (cpu_seconds(pid) - before[side]) / count * 1e6 for side, pid in pids.items()}
                    found[name]["per_second"].append(got["per_second"])
                    found[name]["p95_ms"].append(got["ms"]["p95"])
                    found[name]["cpu_us"].append({**{k: round(v, 1) for k, v in used.items()}, "client": got["cpu_us"]})
                    tell(number + 1)
    ratios = {"ratio": _beside(found["nova"], found["bare"]), "ratio_redis": _beside(found["redis"], found["bare"])}
    return {"workers": workers, "viewers": len(viewers), "bytes": size, **found, **ratios}


def _beside(side: Mapping[str, Any], bare: Mapping[str, Any]) -> float:
    return float(round(median(its / of for its, of in zip(side["per_second"], bare["per_second"], strict=True)), 3))


def readers(
    bench: Bench, viewers: Sequence[str], others: Sequence[str]
) -> tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]:
    """1,000 readers at once, and what readers wait for when there is room: for a feed that is kept (viewers), and for
    one that must be made (others, none of whom has one)."""
    tokens = serving.tokens(bench, viewers)
    with serving.nova(bench, workers=2) as (port, _):
        forget_limits(bench)
        calm = client.Flood(port, FEED, tokens, 40, 8, pause=0.05)
        client.run(calm)
        waits: dict[str, Mapping[str, Any]] = {}
        waits["kept"] = {**client.run(calm), "connections": calm.connections}
        forget_limits(bench)
        crowd = client.Flood(port, FEED, tokens, 1000, 6)
        at_once = {**client.run(crowd), "connections": crowd.connections}
        fresh = client.Flood(port, FEED, serving.tokens(bench, others), 2, 10, pause=0.1)
        waits["made"] = {**client.run(fresh), "connections": fresh.connections}
    return at_once, waits


def _kept(got: Mapping[str, Any]) -> Mapping[str, Any]:
    """Every answer was a kept feed."""
    if set(got["statuses"]) != {"200"} or got["errors"] or got["hits"] < got["requests"]:
        raise RuntimeError(f"not all answers were kept feeds: {got}")
    return got


def delete_a_post(bench: Bench) -> None:
    """As on every day: some post, of none of these feeds, was deleted lately, and each answer must respect it."""
    redis.Redis.from_url(bench.env["REDIS_CACHE_URL"], socket_timeout=60).zadd(
        "gone:posts", {str(uuid4()): time.time()}
    )


def forget_limits(bench: Bench) -> None:
    """Open everybody's window anew, so that a round fits into one."""
    store = redis.Redis.from_url(bench.env["REDIS_CACHE_URL"], socket_timeout=60)
    for key in store.scan_iter("limit:v1:*", count=10_000):
        store.unlink(key)
