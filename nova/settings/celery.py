"""Background jobs: Celery over the Redis that never evicts."""

from nova.settings import env

_LONGEST_JOB_SECONDS = 600

CELERY_BROKER_URL = env.text("REDIS_URL", "")
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_ACKS_LATE = True
# A run whose process is gone (killed for its memory) is tried as often as one that failed; this is for when Redis does
# not take the message of the next try.
CELERY_TASK_RETRY_ON_WORKER_LOST = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = env.whole("JOB_SECONDS", 600, low=10, high=86_400)
CELERY_TASK_SOFT_TIME_LIMIT = max(5, CELERY_TASK_TIME_LIMIT - 10)
# The longest wait before a run is tried again.
JOB_RETRY_SECONDS = env.whole("JOB_RETRY_SECONDS", 60, low=1, high=600)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # No task may outlive the visibility timeout, nor wait so long for its next try, or Redis hands it to a second
    # worker. Jobs have limits of their own.
    "visibility_timeout": max(CELERY_TASK_TIME_LIMIT, JOB_RETRY_SECONDS, _LONGEST_JOB_SECONDS) + 300,
    # A frozen broker must not freeze its clients. Longer than a blocking read waits.
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_IGNORE_RESULT = False
CELERY_RESULT_EXPIRES = 3 * 86_400
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "jobs.beat:Scheduler"

KEEP_JOB_RUNS_DAYS = env.whole("KEEP_JOB_RUNS_DAYS", 14, low=1, high=3650)
KEEP_REPLAYS_DAYS = env.whole("KEEP_REPLAYS_DAYS", 90, low=1, high=3650)
# The nightly drift check compares one part a night, so that a whole round takes as many nights.
DRIFT_PARTS = env.whole("DRIFT_PARTS", 7, low=1, high=1000)
# When the watch complains: WAL held back for change data capture, and messages that a consumer is behind.
WATCH_WAL_BYTES = env.whole("WATCH_WAL_BYTES", 1 << 30, low=1 << 20, high=1 << 50)
WATCH_LAG = env.whole("WATCH_LAG", 100_000, low=1, high=10**12)
