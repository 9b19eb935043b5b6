"""Web processes on the stack's engines, and tokens to call them with."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import jwt

from benchmarks.ingest.bench import Bench, wait_until
from embedded.process import Process
from embedded.service import http_ok

# As embedded/apps.py starts it.
_OPTIONS = ("--no-ws", "--blocking-threads", "8", "--backpressure", "2048", "--backlog", "2048")


@contextmanager
def served(
    bench: Bench, name: str, target: str, health: str, *, workers: int, **environment: str
) -> Iterator[tuple[int, Process]]:
    """granian with a WSGI target, as the embedded stack runs it: its port and its process. Stopped at the end.

    Raises TimeoutError when it does not answer under `health` (a path)."""
    (port,) = bench.ports(name)
    metrics = bench.var / "metrics" / name
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    address = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
    child = bench.process(
        name,
        *(sys.executable, "-m", "granian", "--interface", "wsgi", target, *address, *_OPTIONS),
        env=bench.environment(PROMETHEUS_MULTIPROC_DIR=str(metrics), **environment),
    )
    try:
        wait_until(lambda: child.exit_code() is not None or http_ok(f"http://127.0.0.1:{port}{health}"), name)
        if child.exit_code() is not None:
            raise RuntimeError(f"{name} did not start; its log lies in {bench.var / 'log'}")
        yield port, child
    finally:
        child.signal(15)
        child.wait(20)
        child.signal_all(9)


def nova(bench: Bench, *, workers: int, **environment: str) -> AbstractContextManager[tuple[int, Process]]:
    """Nova's web processes."""
    return served(bench, "web", "nova.wsgi:application", "/livez", workers=workers, **environment)


def bare(bench: Bench, size: int, *, workers: int) -> AbstractContextManager[tuple[int, Process]]:
    """A bare view that answers `size` bytes."""
    return served(bench, "bare", "benchmarks.feed.bare:application", "/bare", workers=workers, BENCH_BYTES=str(size))


def tokens(bench: Bench, viewers: Sequence[str]) -> list[str]:
    """A token for each viewer, good for a day."""
    ends = int(time.time()) + 86_400
    return [jwt.encode({"sub": viewer, "exp": ends}, bench.env["JWT_SECRET"], algorithm="HS256") for viewer in viewers]
