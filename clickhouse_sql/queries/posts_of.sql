-- Posts by id, those that the viewer may not see left out.
SELECT toString(id), toString(author_id), toUnixTimestamp64Micro(created_at), text, media, content_key, id IN /*seen*/ AS seen
FROM posts_cdc FINAL
PREWHERE id IN {ids:Array(UUID)}
WHERE author_id != {viewer:UUID} AND author_id NOT IN /*hidden*/
