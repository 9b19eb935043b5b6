-- The newest posts of the authors with whom the viewer had most to do. closest_authors and seen_by_viewer travel with the
-- query.
SELECT toString(id), toString(author_id), created_at, text, media, content_key, id IN seen_by_viewer AS seen
FROM posts_by_author FINAL
PREWHERE author_id IN closest_authors AND created_at >= {after:DateTime64(6, 'UTC')}
ORDER BY seen, created_at DESC, id DESC
LIMIT {cap:UInt32}
