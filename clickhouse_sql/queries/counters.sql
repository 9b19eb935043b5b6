-- The counts of posts over their lives. The day is the one inside the id, worked out as the view works it out. `asked`
-- travels with the query.
SELECT toString(post_id), sum(impressions), sum(views), sum(likes), sum(comments), sum(shares)
FROM post_counters
WHERE (post_day, post_id) IN (SELECT toDate(UUIDv7ToDateTime(toUUID(id) AS post, 'UTC')), post FROM asked)
GROUP BY post_id
