-- Whose posts the viewer must not see, and whom they follow.
SELECT 'hidden' AS what, toString(id) FROM (SELECT blocked_id AS id FROM /*hidden*/)
UNION ALL
SELECT 'followed', toString(followee_id) FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID}
