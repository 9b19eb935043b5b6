-- What the server holds of the counts of recent posts: whether they are there, are being loaded, and could not be loaded
-- the last time; how many seconds ago they were loaded, how many that took, and whether anything was counted since it
-- began. Without a row there is no such dictionary.
SELECT
    status IN ('LOADED', 'LOADED_AND_RELOADING'),
    status IN ('LOADING', 'LOADED_AND_RELOADING', 'FAILED_AND_RELOADING'),
    last_exception != '',
    toFloat64(now() - last_successful_update_time),
    toFloat64(loading_duration),
    loading_start_time <= (
        SELECT max(modification_time)
        FROM system.parts
        WHERE active AND database = currentDatabase() AND table = 'post_counters'
    )
FROM system.dictionaries
WHERE database = currentDatabase() AND name = 'recent_counts'
