-- The comments of PostgreSQL.
CREATE TABLE IF NOT EXISTS comments_cdc
(
    id UUID,
    user_id UUID,
    post_id UUID,
    post_author_id UUID,
    text String CODEC(ZSTD(3)),
    created_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
