-- Whom the viewer follows.
SELECT toString(followee_id) FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID}
