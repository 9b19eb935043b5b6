-- Likes and comments count when they come from a table (or a trusted service); a client's own word for one is a signal.
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_post_metrics_1h TO post_metrics_1h AS
SELECT
    toStartOfHour(toDateTime(event_time, 'UTC')) AS hour,
    post_id,
    any(events.author_id) AS author_id,
    countIf(action = 'impression') AS impressions,
    countIf(action = 'view') AS views,
    countIf(action = 'click') AS clicks,
    sumIf(multiIf(action = 'like', 1, action = 'unlike', -1, 0), source IN ('table', 'service')) AS likes,
    sumIf(multiIf(action = 'comment', 1, action = 'uncomment', -1, 0), source IN ('table', 'service')) AS comments,
    countIf(action = 'share') AS shares,
    sum(toInt64(events.dwell_ms)) AS dwell_ms,
    sumIf(
        multiIf(
            action = 'share', 3,
            source NOT IN ('table', 'service'), 0,
            action = 'like', 1, action = 'unlike', -1,
            action = 'comment', 2, action = 'uncomment', -2,
            0),
        user_id != events.author_id) AS momentum,
    uniqStateIf(
        user_id,
        user_id != events.author_id
        AND (action = 'share' OR (action IN ('like', 'comment') AND source IN ('table', 'service')))) AS reactors
FROM events
GROUP BY hour, post_id;
