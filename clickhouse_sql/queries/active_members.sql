-- Who did most lately, and when last. What another system counted says nothing of who was here.
SELECT user_id, count() AS events, max(event_time) AS last
FROM events
WHERE event_time >= {after:DateTime64(6, 'UTC')} AND event_time <= {now:DateTime64(6, 'UTC')} AND source != 'service'
GROUP BY user_id
ORDER BY events DESC, user_id
LIMIT {cap:UInt32}
