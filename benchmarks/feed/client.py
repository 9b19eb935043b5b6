"""Readers in a process of their own: many connections that stay open, each asking again as soon as it was answered.

    python -m benchmarks.feed.client < JSON of a `Flood`; the JSON of what it found on stdout

One thread and no library, so that the client's share of the machine is small and the same whoever answers.
"""

import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.ingest.visible import quantiles
from embedded.paths import ROOT

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Flood:
    """What to ask: the first of the paths by each of the tokens in turn, then the second and so on, over `connections`,
    for `seconds`; pause: seconds between an answer and the same connection's next question."""

    port: int
    paths: Sequence[str]
    tokens: Sequence[str]
    connections: int
    seconds: float
    pause: float = 0.0


@dataclass(slots=True)
class _Reader:
    """A connection. need: bytes of the answer, 0 while its head is not all there."""

    socket: socket.socket
    asked_at: float = 0.0
    got: bytearray = field(default_factory=bytearray)
    need: int = 0
    answers: int = 0


def run(flood: Flood) -> Mapping[str, Any]:
    """Flood in a process of its own. Found: requests, seconds, per_second, ms (quantiles), bytes of an answer's body,
    statuses (how often each), errors (connections that the server closed), silent (connections that never got an
    answer), hits (answers that said so), cpu_us (own, a request).

    Raises RuntimeError when the process fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.feed.client"],
        input=json.dumps(asdict(flood)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the readers failed:\n{done.stderr}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    print(json.dumps(_Run(Flood(**json.load(sys.stdin))).found()))
    return 0


class _Run:
    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._questions = [
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            for path in flood.paths
            for token in flood.tokens
        ]
        self._next = 0
        self._took: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._errors = self._hits = self._body = 0

    def found(self) -> Mapping[str, Any]:
        poll = select.epoll()
        readers = {reader.socket.fileno(): reader for reader in map(self._connect, range(self._flood.connections))}
        for number in readers:
            poll.register(number, select.EPOLLIN)
        waiting: deque[tuple[float, _Reader]] = deque()
        own, began = time.process_time(), time.monotonic()
        end = began + self._flood.seconds
        for reader in readers.values():
            self._ask(reader)
        while time.monotonic() < end:
            for number, _ in poll.poll(0.01):
                answered = self._read(readers[number])
                if answered is None:
                    poll.unregister(number)
                elif answered and self._flood.pause:
                    waiting.append((time.monotonic() + self._flood.pause, readers[number]))
                elif answered:
                    self._ask(readers[number])
            while waiting and waiting[0][0] <= time.monotonic():
                self._ask(waiting.popleft()[1])
        seconds, cpu = time.monotonic() - began, time.process_time() - own
        count = len(self._took)
        return {
            "requests": count,
            "seconds": round(seconds, 2),
            "per_second": round(count / seconds, 1),
            "ms": quantiles(self._took),
            "bytes": self._body,
            "statuses": dict(self._statuses),
            "errors": self._errors,
            "silent": sum(not reader.answers for reader in readers.values()),
            "hits": self._hits,
            "cpu_us": round(cpu / max(1, count) * 1e6, 1),
        }

    def _connect(self, _: int) -> _Reader:
        made = socket.create_connection(("127.0.0.1", self._flood.port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Reader(made)

    def _ask(self, reader: _Reader) -> None:
        question = self._questions[self._next]
        self._next = (self._next + 1) % len(self._questions)
        reader.got, reader.need, reader.asked_at = bytearray(), 0, time.perf_counter()
        reader.socket.sendall(question)

    def _read(self, reader: _Reader) -> bool | None:
        """Whether the answer is all there; None when there will be none, because the server hung up."""
        try:
            some = reader.socket.recv(_CHUNK)
        except ConnectionError:
            some = b""
        if not some:
            self._errors += 1
            return None
        reader.got += some
        if not reader.need:
            head = reader.got.find(b"\r\n\r\n")
            if head < 0:
                return False
            at = reader.got.lower().index(b"content-length: ", 0, head + 2) + 16
            body = int(reader.got[at : reader.got.index(b"\r", at)])
            reader.need, self._body = head + 4 + body, body
        if len(reader.got) < reader.need:
            return False
        reader.answers += 1
        self._took.append(time.perf_counter() - reader.asked_at)
        self._statuses[reader.got[9:12].decode()] += 1
        self._hits += reader.got.find(b'"cache_hit":true', -500) > 0
        return True


if __name__ == "__main__":
    sys.exit(main())
