-- What is known of one post and one viewer, the sources aside. No row: there never was such a post.
SELECT
    author_id,
    created_at,
    is_deleted,
    id IN /*seen*/ AS seen,
    author_id IN (SELECT followee_id FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID}) AS followed,
    author_id IN (SELECT blocked_id FROM blocks_cdc FINAL WHERE blocker_id = {viewer:UUID} AND kind = 'block')
        OR author_id IN (SELECT blocker_id FROM blocks_by_blocked FINAL WHERE blocked_id = {viewer:UUID} AND kind = 'block')
        AS blocked,
    author_id IN (SELECT blocked_id FROM blocks_cdc FINAL WHERE blocker_id = {viewer:UUID} AND kind = 'mute') AS muted
FROM posts_cdc
WHERE id = {post:UUID}
ORDER BY version DESC
LIMIT 1
