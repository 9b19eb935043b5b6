-- The same posts in the order that candidates are read: one author's newest posts lie together. Filled by a view from
-- posts_cdc, deletions included. Compact parts with small granules: a read takes few rows at each of many places.
CREATE TABLE IF NOT EXISTS posts_by_author
(
    author_id UUID,
    created_at DateTime64(6, 'UTC'),
    id UUID,
    text String CODEC(ZSTD(3)),
    media String CODEC(ZSTD(3)),
    content_key UInt64,
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (author_id, created_at, id)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 64, min_bytes_for_wide_part = 107374182400;
