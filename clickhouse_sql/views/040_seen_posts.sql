CREATE MATERIALIZED VIEW IF NOT EXISTS mv_seen_posts TO seen_posts AS
SELECT user_id, post_id, toDateTime(event_time, 'UTC') AS seen_at
FROM events
WHERE action IN ('view', 'click') OR (action = 'impression' AND dwell_ms >= 1000);
