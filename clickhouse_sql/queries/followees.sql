-- The newest posts of whom the viewer follows. All conditions of PREWHERE are on the sorting key, which FINAL needs.
-- hidden_authors and seen_by_viewer travel with the query.
SELECT toString(id), toString(author_id), created_at, text, media, content_key, id IN seen_by_viewer AS seen
FROM posts_by_author FINAL
PREWHERE author_id IN (SELECT followee_id FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID})
    AND created_at >= {after:DateTime64(6, 'UTC')}
    AND author_id NOT IN hidden_authors
ORDER BY seen, created_at DESC, id DESC
LIMIT {cap:UInt32}
