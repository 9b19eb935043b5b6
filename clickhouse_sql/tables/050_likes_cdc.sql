-- Who likes which post. Counts are not taken from here but from the events that each change is published as.
CREATE TABLE IF NOT EXISTS likes_cdc
(
    user_id UUID,
    post_id UUID,
    id UUID,
    post_author_id UUID,
    created_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (user_id, post_id)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
