-- The newest posts of whom the viewer follows, and of the authors with whom they had most to do, the newest `reach` of
-- all: one read for both sources, since many authors are both. One source looks back `far`, the other only `near`, and
-- both up to `until`. The reader knows which source may propose which, and what the viewer has seen, and cuts (ranking/sources.py).
-- With the part recent_counts also the counts that the server holds in memory.
-- authors, of both sources, and far_authors travel with the query. All conditions of PREWHERE are on the sorting key,
-- which FINAL needs. The index does not look into if(): it is searched for one list, and not for every pair of two.
SELECT
    toString(id),
    toString(author_id),
    toUnixTimestamp64Micro(created_at),
    text,
    media,
    content_key/*recent_counts*/
FROM posts_by_author FINAL
PREWHERE author_id IN authors
    AND created_at BETWEEN {far:DateTime64(6, 'UTC')} AND {until:DateTime64(6, 'UTC')}
    AND if(created_at >= {near:DateTime64(6, 'UTC')}, true, author_id IN far_authors)
ORDER BY created_at DESC, id DESC
LIMIT {reach:UInt32}
