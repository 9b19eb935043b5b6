-- Whom the viewer follows.
SELECT toString(followee_id) FROM follows_cdc FINAL PREWHERE follower_id = {viewer:UUID}
