-- What the server holds of the counts of recent posts: whether they are there, are being loaded, and could not be loaded
-- the last time; how many seconds old they are, how many the loading took, and whether anything was counted since it
-- began, or within `late` seconds before: a part may be seen that much later than its time says. Without a row there is
-- no such dictionary.
SELECT
    status IN ('LOADED', 'LOADED_AND_RELOADING') AS loaded,
    status IN ('LOADING', 'LOADED_AND_RELOADING', 'FAILED_AND_RELOADING') AS loading,
    last_exception != '' AS failed,
    toFloat64(now() - last_successful_update_time) + if(loading, 0, loading_duration) AS age,
    toFloat64(loading_duration) AS took,
    loading_start_time - {late:UInt32} <= (
        SELECT max(modification_time)
        FROM system.parts
        WHERE active AND database = currentDatabase() AND table = 'post_counters'
    ) AS changed
FROM system.dictionaries
WHERE database = currentDatabase() AND name = 'recent_counts'
