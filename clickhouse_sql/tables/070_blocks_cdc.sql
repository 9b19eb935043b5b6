-- Who blocked or muted whom.
CREATE TABLE IF NOT EXISTS blocks_cdc
(
    blocker_id UUID,
    blocked_id UUID,
    kind LowCardinality(String),
    id UUID,
    created_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (blocker_id, blocked_id, kind)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
