-- The newest posts of all: for a viewer to whom no source proposes anything. Found by narrow columns, then read whole.
SELECT toString(id), toString(author_id), toUnixTimestamp64Micro(created_at), text, media, content_key, id IN /*seen*/ AS seen
FROM posts_cdc FINAL
PREWHERE id IN (
        SELECT id
        FROM posts_cdc FINAL
        WHERE author_id != {viewer:UUID} AND author_id NOT IN /*hidden*/
            AND created_at <= {until:DateTime64(6, 'UTC')}
        ORDER BY id IN /*seen*/, created_at DESC, id DESC
        LIMIT {cap:UInt32}
    )
ORDER BY seen, created_at DESC, id DESC
