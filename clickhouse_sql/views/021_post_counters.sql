CREATE MATERIALIZED VIEW IF NOT EXISTS mv_post_counters TO post_counters AS
SELECT
    toDate(UUIDv7ToDateTime(post_id, 'UTC')) AS post_day,
    post_id,
    countIf(action = 'impression') AS impressions,
    countIf(action = 'view') AS views,
    countIf(action = 'click') AS clicks,
    sumIf(multiIf(action = 'like', 1, action = 'unlike', -1, 0), source IN ('table', 'service')) AS likes,
    sumIf(multiIf(action = 'comment', 1, action = 'uncomment', -1, 0), source IN ('table', 'service')) AS comments,
    countIf(action = 'share') AS shares
FROM events
GROUP BY post_day, post_id;
