"""Every job. Their schedules begin with these periods (jobs/migrations) and are then what staff set in the admin."""

from jobs import work
from jobs.job import Job

JOBS = (
    Job("trending_1h", "the trending posts of the last hour", 60, 50, work.trending_of("1h")),
    Job("trending_24h", "the trending posts of the last day", 300, 60, work.trending_of("24h")),
    Job("trending_7d", "the trending posts of the last week", 3600, 120, work.trending_of("7d")),
    Job("suggestions", "whom each member may want to follow", 600, 580, work.suggested_users),
    Job("warmer", "keeps the feeds of the most active members ready", 60, 55, work.warm_cache),
    Job("dead_letters", "sends dead letters again whose reason passes", 60, 50, work.dead_letter_sweep),
    Job("watch", "looks after the replication slot, its WAL and the consumers' lag", 30, 25, work.watch_lag),
    Job("drift", "compares a part of ClickHouse's copies with PostgreSQL", 86_400, 580, work.check_drift, at=(2, 20)),
    Job("retention", "deletes old runs, task results and replays", 86_400, 580, work.retain, at=(3, 40)),
)
BY_NAME = {job.name: job for job in JOBS}
