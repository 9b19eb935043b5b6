-- What happened to a post in an hour, for trending. Read with sum(), uniqMerge() and GROUP BY.
CREATE TABLE IF NOT EXISTS post_metrics_1h
(
    hour DateTime('UTC'),
    post_id UUID,
    author_id SimpleAggregateFunction(any, UUID),
    impressions Int64,
    views Int64,
    clicks Int64,
    likes Int64,
    comments Int64,
    shares Int64,
    dwell_ms Int64,
    -- likes + 2 * comments + 3 * shares of everyone but the author: nobody makes a trend of themselves.
    momentum Int64,
    -- The distinct members behind it, the author not counted.
    reactors AggregateFunction(uniq, UUID)
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMMDD(hour)
ORDER BY (hour, post_id)
TTL hour + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1;
