-- The same blocks seen from the other side, since a block works both ways. Filled by a view, deletions included.
CREATE TABLE IF NOT EXISTS blocks_by_blocked
(
    blocked_id UUID,
    blocker_id UUID,
    kind LowCardinality(String),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (blocked_id, blocker_id, kind)
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
