-- How often the viewer liked, commented or shared, by author, within the days that count. Not above zero where it was
-- taken back.
SELECT toString(author_id), sum(interactions)
FROM user_author_90d
PREWHERE user_id = {viewer:UUID}
WHERE day >= {since:Date}
GROUP BY author_id
