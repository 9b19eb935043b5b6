-- The counters of a post over its life, which a ranking reads for a thousand candidates at once: recent posts lie
-- together, because the day is the one inside the post's own UUIDv7 (a UUID by itself is not in time order here).
-- A thousand posts are a thousand granules in each part, so what counts is the price of one: small granules, each column
-- by itself in small blocks (a block is read as a whole) once a part has more than a few rows.
CREATE TABLE IF NOT EXISTS post_counters
(
    post_day Date,
    post_id UUID,
    impressions Int64,
    views Int64,
    clicks Int64,
    likes Int64,
    comments Int64,
    shares Int64
)
ENGINE = SummingMergeTree
ORDER BY (post_day, post_id)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 64, min_bytes_for_wide_part = 2097152, min_compress_block_size = 1024, max_compress_block_size = 4096;
