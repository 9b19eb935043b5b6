-- How often a member liked, commented or shared an author's posts, by day, so that it can be forgotten after 90 days. A
-- partition that nothing comes to any more becomes one part: each part is one more place to look for a member's rows.
CREATE TABLE IF NOT EXISTS user_author_90d
(
    user_id UUID,
    author_id UUID,
    day Date,
    likes Int64,
    comments Int64,
    shares Int64,
    interactions Int64
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (user_id, author_id, day)
TTL day + INTERVAL 91 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
