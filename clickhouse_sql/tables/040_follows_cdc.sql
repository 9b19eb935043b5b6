-- Who follows whom.
CREATE TABLE IF NOT EXISTS follows_cdc
(
    follower_id UUID,
    followee_id UUID,
    id UUID,
    created_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (follower_id, followee_id)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
