-- How often PostgreSQL was restored from a backup. Kept here and not there, or the restore would undo it. A restore makes
-- LSNs smaller; the epoch in the highest bits of a version keeps later changes later.
CREATE TABLE IF NOT EXISTS restore_epochs
(
    epoch UInt8,
    noted_at DateTime64(6, 'UTC'),
    reason String
)
ENGINE = MergeTree
ORDER BY epoch
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1;
