-- The posts of PostgreSQL. version = (restore epoch << 56) | LSN of the change; readers use FINAL with a key filter.
CREATE TABLE IF NOT EXISTS posts_cdc
(
    id UUID,
    author_id UUID,
    text String CODEC(ZSTD(3)),
    -- The list of attachments as JSON.
    media String CODEC(ZSTD(3)),
    -- Equal for posts that say the same (nova/content.py); 0 for none.
    content_key UInt64,
    created_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 512;
