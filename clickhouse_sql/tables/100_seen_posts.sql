-- Which posts a member has seen: a view, a click, or an impression of at least a second. Several rows a pair may stand
-- here; readers ask only whether there is one within the last 7 days. A day that is over becomes one part, as in
-- user_author_90d.
CREATE TABLE IF NOT EXISTS seen_posts
(
    user_id UUID,
    post_id UUID,
    seen_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(seen_at)
PARTITION BY toYYYYMMDD(seen_at)
ORDER BY (user_id, post_id)
TTL seen_at + INTERVAL 7 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, index_granularity = 1024, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
