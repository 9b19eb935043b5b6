"""When did it become visible? Few rows are asked for at a time, every few milliseconds, by key."""

import threading
import time
from collections.abc import Callable, Collection
from uuid import UUID

from clickhouse_driver import Client

_EVERY = 0.025
_GIVE_UP = 30.0


class Lookout:
    """Notes how long each expected id takes to be seen. look: of these ids, which can be seen now.

    The delay is from the moment given to `expect` to the answer of the query that saw the row, so it is never too short
    and about half a polling interval too long.
    """

    def __init__(self, client: Client, look: Callable[[Client, Collection[UUID]], Collection[UUID]]) -> None:
        self._client, self._look = client, look
        self._lock = threading.Lock()
        self._expected: dict[UUID, float] = {}
        self._ending = threading.Event()
        self.delays: list[float] = []
        self.polls = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def expect(self, identifier: UUID, since: float) -> None:
        """since: by `time.monotonic`."""
        with self._lock:
            self._expected[identifier] = since

    def finish(self) -> list[float]:
        """Wait for what is still expected; the delays in seconds. Raises TimeoutError when something never comes."""
        deadline = time.monotonic() + _GIVE_UP
        while self._expected and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(0.05)
        self._ending.set()
        self._thread.join(10)
        if self._expected:
            raise TimeoutError(f"{len(self._expected)} rows were not visible {_GIVE_UP:.0f} s after the last one")
        return self.delays

    def _watch(self) -> None:
        while not self._ending.wait(_EVERY):
            with self._lock:
                asked = list(self._expected)
            if not asked:
                continue
            self.polls += 1
            found = self._look(self._client, asked)
            now = time.monotonic()
            with self._lock:
                self.delays += [now - self._expected.pop(identifier) for identifier in found]


def quantiles(delays: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the longest, in milliseconds."""
    ordered = sorted(delays)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": round(ordered[-1] * 1000, 1)}
