-- As by_authors.sql, for when there is more than it reaches: cut by the server, the unseen first; of the posts of one
-- source, of the other, and of both, `cap` each, which hold the first `cap` of either source. Many copies of one text
-- must not take the places of all others: the newest `copies` of them compete.
-- followed_authors, closest_authors and seen_by_viewer travel with the query.
SELECT
    toString(id),
    toString(author_id),
    toUnixTimestamp64Micro(created_at),
    text,
    media,
    content_key/*recent_counts*/
FROM (
    SELECT
        id,
        author_id,
        created_at,
        text,
        media,
        content_key,
        id IN seen_by_viewer AS seen,
        author_id IN followed_authors AND created_at >= {followee_after:DateTime64(6, 'UTC')} AS of_followee,
        author_id IN closest_authors AND created_at >= {closest_after:DateTime64(6, 'UTC')} AS of_closest
    FROM posts_by_author FINAL
    PREWHERE (author_id IN followed_authors
            AND created_at BETWEEN {followee_after:DateTime64(6, 'UTC')} AND {until:DateTime64(6, 'UTC')})
        OR (author_id IN closest_authors
            AND created_at BETWEEN {closest_after:DateTime64(6, 'UTC')} AND {until:DateTime64(6, 'UTC')})
    ORDER BY seen, created_at DESC, id DESC
    LIMIT {copies:UInt32} BY if(content_key = 0, toUInt128(id), content_key)
)
ORDER BY seen, created_at DESC, id DESC
LIMIT {cap:UInt32} BY of_followee, of_closest
