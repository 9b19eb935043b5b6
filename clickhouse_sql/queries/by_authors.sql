-- The newest posts of whom the viewer follows, and of the authors with whom they had most to do: one read for both
-- sources, since many authors are both. Of the posts of one source, of the other, and of both, `reach` each come out,
-- newest first: the reader knows what the viewer has seen, and cuts (ranking/sources.py).
-- followed_authors and closest_authors travel with the query. All conditions of PREWHERE are on the sorting key, which
-- FINAL needs.
SELECT
    toString(id),
    toString(author_id),
    toUnixTimestamp64Micro(created_at),
    text,
    media,
    content_key,
    author_id IN followed_authors AND created_at >= {followee_after:DateTime64(6, 'UTC')} AS of_followee,
    author_id IN closest_authors AND created_at >= {closest_after:DateTime64(6, 'UTC')} AS of_closest
FROM posts_by_author FINAL
PREWHERE of_followee OR of_closest
ORDER BY created_at DESC, id DESC
LIMIT {reach:UInt32} BY of_followee, of_closest
