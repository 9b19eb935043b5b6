-- The newest posts of all: for a viewer to whom no source proposes anything.
SELECT id, author_id, created_at, text, media, content_key, id IN /*seen*/ AS seen
FROM posts_cdc FINAL
WHERE author_id != {viewer:UUID} AND author_id NOT IN /*hidden*/
ORDER BY seen, created_at DESC, id DESC
LIMIT {cap:UInt32}
