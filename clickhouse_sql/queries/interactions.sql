-- How often the viewer liked, commented or shared, by author, within the days that count.
SELECT author_id, sum(interactions)
FROM user_author_90d
WHERE user_id = {viewer:UUID} AND day >= {since:Date}
GROUP BY author_id
HAVING sum(interactions) > 0
