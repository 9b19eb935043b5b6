"""Every metric of Nova's own, explained. Requests by view and status are django-prometheus's (`django_http_…`).

No label may hold a member, a post or an address: labels are few, and `/metrics` is read without a token.
Gauges name how the processes of one multiprocess folder are put together: `max` or `mostrecent`, never a live mode,
which would leave a file behind for each web worker that ever died.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence

from django.http import HttpRequest, HttpResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nova import postgres

log = logging.getLogger(__name__)

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_SIZES = (0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000)

# Reading a feed -----------------------------------------------------------------------------------------------------

FEED_ANSWERS = Counter(
    "nova_feed_answers",
    "Feeds answered, by algorithm (ch: ranked from ClickHouse, time: newest first) and cache (hit, stale, miss).",
    ["algorithm", "cache"],
)
FEED_EXPERIMENT_ANSWERS = Counter(
    "nova_feed_experiment_answers",
    "Feeds answered, by the experiment whose weights ranked them (none: the settings') and cache (hit, stale, miss).",
    ["experiment", "cache"],
)
FEED_STAGE_SECONDS = Histogram(
    "nova_feed_stage_seconds",
    "Seconds that one stage of a feed took: candidates (with counts), scoring, hydration, snapshot, fallback.",
    ["stage"],
    buckets=_FAST,
)
FEED_CANDIDATES = Histogram(
    "nova_feed_candidates",
    "Posts that one candidate source gave for one feed.",
    ["source"],
    buckets=_SIZES,
)
FEED_COUNTS = Counter(
    "nova_feed_counts",
    "Feeds made, by where the counts of recent posts came from (memory of ClickHouse's, or table).",
    ["source"],
)
BREAKER_STATE = Gauge(
    "nova_breaker_state",
    "State of a circuit breaker as this process last saw it: 0 closed, 1 half open, 2 open.",
    ["breaker"],
    multiprocess_mode="mostrecent",
)
BREAKER_TRANSITIONS = Counter(
    "nova_breaker_transitions",
    "Changes of a circuit breaker's state, by the state it went to (closed, half_open, open).",
    ["breaker", "to"],
)

# Event streams ------------------------------------------------------------------------------------------------------

STREAM_OPEN = Gauge("nova_stream_open", "Event streams that are open in this process.", multiprocess_mode="mostrecent")
STREAM_ANSWERS = Counter(
    "nova_stream_answers", "Streams asked for, by the status they were answered with (200: opened).", ["status"]
)
STREAM_EVENTS = Counter("nova_stream_events", "Events sent to readers (snapshot_replaced, new_posts).", ["event"])

# Taking events in ---------------------------------------------------------------------------------------------------

INTAKE_EVENTS = Counter(
    "nova_intake_events",
    "Events posted, by what became of them: accepted, duplicate (within the request), rejected, unavailable (503).",
    ["outcome"],
)
INTAKE_ACK_SECONDS = Histogram(
    "nova_intake_ack_seconds",
    "Seconds from handing a request's events to the producer until the broker acknowledged the last one.",
    buckets=_FAST,
)

# Consuming ----------------------------------------------------------------------------------------------------------

CONSUMER_MESSAGES = Counter("nova_consumer_messages", "Messages read from Kafka.", ["consumer", "topic"])
CONSUMER_ROWS = Counter("nova_consumer_rows", "Rows inserted into ClickHouse, by table.", ["consumer", "table"])
CONSUMER_DUPLICATES = Counter(
    "nova_consumer_duplicates",
    "Messages dropped as duplicates, by reason (batch: twice in one batch; claim: claimed before; stored: found in "
    "ClickHouse).",
    ["consumer", "reason"],
)
CONSUMER_DEAD_LETTERS = Counter(
    "nova_consumer_dead_letters", "Messages that became dead letters, by reason.", ["consumer", "topic", "reason"]
)
CONSUMER_BATCH_SECONDS = Histogram(
    "nova_consumer_batch_seconds",
    "Seconds that one step of a batch took: decode, dedup, insert, ledger.",
    ["consumer", "step"],
    buckets=_SLOW,
)
CONSUMER_BATCH_ROWS = Histogram("nova_consumer_batch_rows", "Rows of one inserted batch.", ["consumer"], buckets=_SIZES)
CONSUMER_LAG = Gauge(
    "nova_consumer_lag",
    "Messages between the end of a partition and the last one that is safely in ClickHouse.",
    ["consumer", "topic", "partition"],
    multiprocess_mode="mostrecent",
)
CONSUMER_OFFSET = Gauge(
    "nova_consumer_offset",
    "The next offset of a partition, as the ledger has it.",
    ["consumer", "topic", "partition"],
    multiprocess_mode="mostrecent",
)
CONSUMER_DELAY_SECONDS = Histogram(
    "nova_consumer_delay_seconds",
    "Seconds from a message's time in Kafka until its row was in ClickHouse, by the oldest message of each batch.",
    ["consumer"],
    buckets=_SLOW,
)
CONSUMER_REBALANCES = Counter(
    "nova_consumer_rebalances", "Changes of assigned partitions: assigned, revoked, lost.", ["consumer", "kind"]
)
CONSUMER_RETRIES = Counter(
    "nova_consumer_retries",
    "Repeated tries of a batch after a transient failure, by step (flush; redo: one that may be half inserted).",
    ["consumer", "step"],
)
CONSUMER_PENDING_REDO = Gauge(
    "nova_consumer_pending_redo",
    "Batches that were begun and must be repeated before anything new is read.",
    ["consumer"],
    multiprocess_mode="mostrecent",
)

# Background jobs and what they watch: the same in every process, read from PostgreSQL when somebody asks -------------


class Shared:
    """A metric that no process owns. Its values come from what `read_shared_from` was given, at each scrape.

    kind: "counter" or "gauge"; labels: as the values come, in this order.
    """

    def __init__(self, kind: str, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.kind, self.name, self.documentation, self.labels = kind, name, documentation, tuple(labels)

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """An empty family to add samples to."""
        made = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return made(self.name, self.documentation, labels=self.labels)


JOB_RUNS = Shared(
    "counter",
    "nova_job_runs",
    "Runs of a background job, by outcome (done, failed, retried; skipped: another run had the slot or was going on).",
    ["job", "outcome"],
)
JOB_SECONDS = Shared("counter", "nova_job_seconds", "Seconds that all runs of a background job took.", ["job"])
JOB_ITEMS = Shared(
    "counter", "nova_job_items", "What all runs of a background job dealt with (posts, members, letters).", ["job"]
)
JOB_LAST_SECONDS = Shared(
    "gauge", "nova_job_last_seconds", "Seconds that the last run of a background job took.", ["job"]
)
JOB_LAST_ITEMS = Shared("gauge", "nova_job_last_items", "What the last run of a background job dealt with.", ["job"])
JOB_LAST_DONE = Shared(
    "gauge",
    "nova_job_last_done_timestamp_seconds",
    "When a background job last ended well, in Unix seconds.",
    ["job"],
)
JOB_RUNNING = Shared("gauge", "nova_job_running", "1 while a run of a background job is going on.", ["job"])
JOB_PERIOD_SECONDS = Shared(
    "gauge",
    "nova_job_period_seconds",
    "Seconds between two runs of a background job by its schedule; absent while the schedule is switched off.",
    ["job"],
)
WARMER_READY = Shared(
    "gauge",
    "nova_warmer_ready_share",
    "Share of the most active members whose feed was ready before and after the last pass of the cache warmer.",
    ["when"],
)
WARMER_VISITS = Shared(
    "counter",
    "nova_warmer_visits",
    "Active members that came between two passes of the warmer, by what their feed was (bought: made by the warmer).",
    ["feed"],
)
CONNECTOR_REVIVALS = Counter(
    "nova_connector_revivals", "Failed tasks of the Debezium connector that a CDC consumer started again."
)
SLOT_ACTIVE = Shared("gauge", "nova_cdc_slot_active", "1 while something reads the replication slot.", ["slot"])
SLOT_RETAINED_BYTES = Shared(
    "gauge",
    "nova_cdc_slot_retained_bytes",
    "Bytes of WAL that PostgreSQL keeps for the replication slot.",
    ["slot"],
)
SLOT_LOST = Shared(
    "gauge", "nova_cdc_slot_lost", "1 when the slot is missing or its WAL is gone: changes are lost.", ["slot"]
)
DRIFT_ROWS = Shared(
    "gauge",
    "nova_drift_rows",
    "Rows of a copy in ClickHouse that were not as in PostgreSQL when the nightly check last compared a part of them.",
    ["copy"],
)
LEDGER_LAG = Shared(
    "gauge",
    "nova_ledger_lag",
    "Messages in Kafka that are not safely in ClickHouse yet, by the ledger, whether or not a consumer runs.",
    ["consumer"],
)

Reading = tuple[Shared, Sequence[str], float]


class _SharedCollector(Collector):
    """Gives the values of all `Shared` metrics; none of them while their source does not answer."""

    def __init__(self) -> None:
        self.read: Callable[[], Iterable[Reading]] = lambda: ()

    def describe(self) -> Iterable[Metric]:
        # Asked at registration: reading from PostgreSQL while Django starts would be too early.
        return [value.family() for value in globals().values() if isinstance(value, Shared)]

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        try:
            # One that does not answer must not take the other metrics with it: who scrapes waits for seconds only.
            with postgres.within(1):
                for metric, labels, value in self.read():
                    families.setdefault(metric.name, metric.family()).add_metric(labels, value)
        except Exception:
            log.warning("the metrics of background jobs cannot be read", exc_info=True)
            return []
        return families.values()


# A registry apart: only /metrics of the web server asks it, or each consumer would tell the same numbers once more.
SHARED = CollectorRegistry()
_shared = _SharedCollector()
SHARED.register(_shared)


def read_shared_from(source: Callable[[], Iterable[Reading]]) -> None:
    """Name the function that reads the values of `Shared` metrics: (metric, values of its labels, value)."""
    _shared.read = source


def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics: all processes of PROMETHEUS_MULTIPROC_DIR when that is set, else this one; and what all share."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry) + generate_latest(SHARED), content_type=CONTENT_TYPE_LATEST)
