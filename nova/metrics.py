"""Every metric of Nova's own, explained. Requests by view and status are django-prometheus's (`django_http_…`).

No label may hold a member, a post or an address: labels are few, and `/metrics` is read without a token.
Gauges name how the processes of one multiprocess folder are put together: `max` or `mostrecent`, never a live mode,
which would leave a file behind for each web worker that ever died.
"""

import os

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

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_SIZES = (0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000)

# Reading a feed -----------------------------------------------------------------------------------------------------

FEED_ANSWERS = Counter(
    "nova_feed_answers",
    "Feeds answered, by algorithm (ch: ranked from ClickHouse, time: newest first) and cache (hit, stale, miss).",
    ["algorithm", "cache"],
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
    "Messages dropped as duplicates, by reason (batch: twice in one batch; claim: claimed before).",
    ["consumer", "reason"],
)
CONSUMER_DEAD_LETTERS = Counter(
    "nova_consumer_dead_letters", "Messages that became dead letters, by reason.", ["consumer", "topic", "reason"]
)
CONSUMER_BATCH_SECONDS = Histogram(
    "nova_consumer_batch_seconds",
    "Seconds that one step of a batch took: collect, decode, dedup, insert, ledger.",
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
    "Repeated tries after a transient failure, by step (insert, ledger, dedup, dead_letter).",
    ["consumer", "step"],
)
CONSUMER_PENDING_REDO = Gauge(
    "nova_consumer_pending_redo",
    "Batches that were begun and must be repeated before anything new is read.",
    ["consumer"],
    multiprocess_mode="mostrecent",
)

# Background jobs ----------------------------------------------------------------------------------------------------

JOB_RUNS = Counter("nova_job_runs", "Runs of a background job, by outcome (done, skipped, failed).", ["job", "outcome"])
JOB_SECONDS = Histogram("nova_job_seconds", "Seconds that a run of a background job took.", ["job"], buckets=_SLOW)
JOB_LAST_RUN = Gauge(
    "nova_job_last_run_timestamp_seconds",
    "When a background job last ended well, in Unix seconds.",
    ["job"],
    multiprocess_mode="max",
)


def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics: all processes of PROMETHEUS_MULTIPROC_DIR when that is set, else this process."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
