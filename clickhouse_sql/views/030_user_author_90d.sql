CREATE MATERIALIZED VIEW IF NOT EXISTS mv_user_author_90d TO user_author_90d AS
SELECT
    user_id,
    author_id,
    toDate(event_time) AS day,
    sumIf(multiIf(action = 'like', 1, action = 'unlike', -1, 0), source IN ('table', 'service')) AS likes,
    sumIf(multiIf(action = 'comment', 1, action = 'uncomment', -1, 0), source IN ('table', 'service')) AS comments,
    countIf(action = 'share') AS shares,
    likes + comments + shares AS interactions
FROM events
WHERE author_id != toUUID('00000000-0000-0000-0000-000000000000')
    AND (action = 'share' OR (action IN ('like', 'unlike', 'comment', 'uncomment') AND source IN ('table', 'service')))
GROUP BY user_id, author_id, day;
