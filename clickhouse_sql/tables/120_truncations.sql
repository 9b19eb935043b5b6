-- The version at which a source table was emptied: a row with an older version that arrives later is deleted too.
CREATE TABLE IF NOT EXISTS truncations
(
    table LowCardinality(String),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY table
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1;
