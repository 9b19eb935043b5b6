"""Answers that are counted a moment after they were given, many at once.

A short answer is counted in fourteen places, and to raise them one by one takes a quarter of its time. So each call
only notes what it was, and a second later all that was noted is added up. A process that is killed takes its last
second with it; one that ends adds it up first.
"""

import atexit
from bisect import bisect_left
from collections import Counter as Tallied
from collections import deque
from collections.abc import Sequence
from threading import Lock, Timer

from django_prometheus.middleware import Metrics
from prometheus_client import Counter, Histogram

_SECONDS = 1.0


class Answered:
    """What django-prometheus counts for a GET that was answered with 200, for a view that its middleware does not see.

    also: counters that each such answer raises too. Safe from many threads.
    """

    def __init__(self, view: str, transport: str, also: Sequence[Counter] = ()) -> None:
        known = Metrics.get_instance()
        labels = {"view": view, "method": "GET"}
        self._raised = (
            known.requests_total,
            known.responses_total,
            known.requests_by_method.labels(method="GET"),
            known.requests_by_transport.labels(transport=transport),
            known.requests_by_view_transport_method.labels(transport=transport, **labels),
            known.responses_by_status.labels(status="200"),
            known.responses_by_status_view_method.labels(status="200", **labels),
            known.responses_by_charset.labels(charset="utf-8"),
            *also,
        )
        self._seconds = (known.requests_latency_before, known.requests_latency_by_view_method.labels(**labels))
        self._received, self._sent = known.requests_body_bytes, known.responses_body_bytes
        self._noted: deque[tuple[float, int]] = deque()
        self._is_due, self._adding = False, Lock()
        atexit.register(self.add_up)

    def count(self, seconds: float, size: int) -> None:
        """One answer: how long it took, and the bytes of its body."""
        self._noted.append((seconds, size))
        if not self._is_due:
            self._is_due = True
            due = Timer(_SECONDS, self.add_up)
            due.daemon = True
            try:
                due.start()
            except RuntimeError:  # there is no thread to be had
                self.add_up()

    def add_up(self) -> None:
        """Put what was noted into the metrics."""
        # First of all: whatever is noted from here on has a timer of its own.
        self._is_due = False
        with self._adding:
            noted = [self._noted.popleft() for _ in range(len(self._noted))]
        if not noted:
            return
        count, (seconds, sizes) = len(noted), zip(*noted, strict=True)
        for counter in self._raised:
            counter.inc(count)
        for histogram in self._seconds:
            observe(histogram, seconds)
        observe(self._received, [0] * count)
        observe(self._sent, sizes)


def observe(histogram: Histogram, values: Sequence[float]) -> None:
    """What the histogram's own `observe` does for one value, for many: each bucket is raised once."""
    bounds = histogram._upper_bounds
    for place, count in Tallied(bisect_left(bounds, value) for value in values).items():
        histogram._buckets[place].inc(count)
    histogram._sum.inc(sum(values))
