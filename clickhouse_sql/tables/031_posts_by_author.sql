-- The same posts in the order that candidates are read: one author's newest posts lie together. Filled by a view from
-- posts_cdc, deletions included. Compact parts with small granules: a read takes few rows at each of many places. LZ4,
-- because each granule is unpacked for a few rows, which ZSTD takes a seventh of such a read longer for.
CREATE TABLE IF NOT EXISTS posts_by_author
(
    author_id UUID,
    created_at DateTime64(6, 'UTC'),
    id UUID,
    text String CODEC(LZ4),
    media String CODEC(LZ4),
    content_key UInt64,
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (author_id, created_at, id)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 64, min_bytes_for_wide_part = 107374182400;
