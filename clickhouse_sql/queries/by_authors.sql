-- The newest posts of whom the viewer follows, and of the authors with whom they had most to do: one read for both
-- sources, since many authors are both. Each source has its own cut, so one post may be within one and beyond the other:
-- of those of one source, of the other, and of both, `cap` each come out, which hold the first `cap` of either source.
-- Many copies of one text must not take the places of all others: the newest `copies` of them compete.
-- followed_authors, closest_authors and seen_by_viewer travel with the query. All conditions of PREWHERE are on the
-- sorting key, which FINAL needs.
SELECT post, author, created_at, text, media, content_key, seen, of_followee, of_closest
FROM (
    SELECT
        toString(id) AS post,
        toString(author_id) AS author,
        created_at,
        text,
        media,
        content_key,
        id IN seen_by_viewer AS seen,
        author_id IN followed_authors AND created_at >= {followee_after:DateTime64(6, 'UTC')} AS of_followee,
        author_id IN closest_authors AND created_at >= {closest_after:DateTime64(6, 'UTC')} AS of_closest
    FROM posts_by_author FINAL
    PREWHERE (author_id IN followed_authors AND created_at >= {followee_after:DateTime64(6, 'UTC')})
        OR (author_id IN closest_authors AND created_at >= {closest_after:DateTime64(6, 'UTC')})
    ORDER BY seen, created_at DESC, id DESC
    LIMIT {copies:UInt32} BY if(content_key = 0, toUInt128(id), content_key)
)
ORDER BY seen, created_at DESC, toUUID(post) DESC
LIMIT {cap:UInt32} BY of_followee, of_closest
