-- The ids of the events in the order of the id, by the day of the message: "is this id stored already?" for a thousand
-- ids reads a thousand granules, where the bloom filter of `events` would read the whole table. They outlive the events,
-- because a like or comment is published from its table, under the same id, until it is 90 days old.
CREATE TABLE IF NOT EXISTS event_ids
(
    day Date,
    event_id UUID
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY event_id
TTL day + INTERVAL 92 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, index_granularity = 256;
