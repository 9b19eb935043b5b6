-- What members did, one row an event, exactly once. 30 days, by the time in the message (never by the time of insert,
-- or a resend after midnight would be another block).
CREATE TABLE IF NOT EXISTS events
(
    event_id UUID,
    event_time DateTime64(6, 'UTC'),
    user_id UUID,
    post_id UUID,
    -- The post's author as the intake or the source row knew it; all zeros when the post was unknown.
    author_id UUID,
    action LowCardinality(String),
    -- client: a signal of an app; table: a like or comment in PostgreSQL; service: counted on another system's word.
    source LowCardinality(String),
    dwell_ms UInt32,
    device LowCardinality(String),
    app_ver LowCardinality(String),
    -- Where in Kafka it came from.
    _topic_id String CODEC(ZSTD(1)),
    _partition UInt32 CODEC(ZSTD(1)),
    _offset UInt64 CODEC(Delta, ZSTD(1)),
    INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX user_id_bloom user_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX post_id_bloom post_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX offset_range _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (action, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1;
