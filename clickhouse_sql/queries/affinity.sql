-- The newest posts of the authors with whom the viewer had most to do.
SELECT id, author_id, created_at, text, media, content_key, id IN /*seen*/ AS seen
FROM posts_by_author FINAL
PREWHERE author_id IN (
        SELECT author_id
        FROM user_author_90d
        WHERE user_id = {viewer:UUID} AND day >= {since:Date} AND author_id != {viewer:UUID}
            AND author_id NOT IN /*hidden*/
        GROUP BY author_id
        HAVING sum(interactions) > 0
        ORDER BY sum(interactions) DESC, author_id
        LIMIT {authors:UInt32}
    )
    AND created_at >= {after:DateTime64(6, 'UTC')}
ORDER BY seen, created_at DESC, id DESC
LIMIT {cap:UInt32}
