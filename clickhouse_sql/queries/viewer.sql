-- What is known of one viewer: whose posts they must not see, whom they follow, what they have seen lately, and how
-- often they liked, commented or shared, by author, within the days that count.
SELECT 'hidden' AS what, toString(id), 0 AS number FROM (SELECT blocked_id AS id FROM /*hidden*/)
UNION ALL
SELECT 'followed', toString(followee_id), 0 FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID}
UNION ALL
SELECT 'seen', toString(post_id), 0 FROM /*seen*/
UNION ALL
SELECT 'interactions', toString(author_id), sum(interactions)
FROM user_author_90d
PREWHERE user_id = {viewer:UUID}
WHERE day >= {since:Date}
GROUP BY author_id
HAVING sum(interactions) > 0
