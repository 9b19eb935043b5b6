-- The counts of posts over their lives. The day is the one inside the id, worked out as the view works it out.
SELECT post_id, sum(impressions), sum(views), sum(likes), sum(comments), sum(shares)
FROM post_counters
WHERE (post_day, post_id) IN (
    SELECT toDate(UUIDv7ToDateTime(id, 'UTC')), id FROM (SELECT arrayJoin({ids:Array(UUID)}) AS id)
)
GROUP BY post_id
