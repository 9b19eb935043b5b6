-- The newest posts of whom the viewer follows, and of the authors with whom they had most to do, the newest `reach` of
-- all: one read for both sources, since many authors are both. The reader knows which source may propose which, and what
-- the viewer has seen, and cuts (ranking/sources.py).
-- With the part recent_counts also: whether the server holds the counts of such a post in memory, and these counts.
-- followed_authors and closest_authors travel with the query. All conditions of PREWHERE are on the sorting key, which
-- FINAL needs.
SELECT
    toString(id),
    toString(author_id),
    toUnixTimestamp64Micro(created_at),
    text,
    media,
    content_key/*recent_counts*/
FROM posts_by_author FINAL
PREWHERE (author_id IN followed_authors AND created_at >= {followee_after:DateTime64(6, 'UTC')})
    OR (author_id IN closest_authors AND created_at >= {closest_after:DateTime64(6, 'UTC')})
ORDER BY created_at DESC, id DESC
LIMIT {reach:UInt32}
