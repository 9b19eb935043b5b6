-- The seed's way to a feed, written as well as its plan allows: one query that unites the three sources over FINAL
-- tables, joins the candidates to the aggregates, and sorts by the final score.
WITH
    followed AS (SELECT followee_id FROM follows_cdc FINAL WHERE follower_id = {viewer:UUID}),
    affinity AS (
        SELECT author_id, sum(interactions) AS interactions
        FROM user_author_90d
        WHERE user_id = {viewer:UUID} AND day >= today() - 90
        GROUP BY author_id
    ),
    metrics AS (
        SELECT post_id, sum(impressions) AS impressions, sum(likes) AS likes, sum(comments) AS comments,
            sum(shares) AS shares
        FROM post_metrics_1h
        GROUP BY post_id
    ),
    hot AS (
        SELECT post_id
        FROM post_metrics_1h
        WHERE hour >= now() - INTERVAL 24 HOUR
        GROUP BY post_id
        ORDER BY sum(likes + 2 * comments + 3 * shares) DESC
        LIMIT 500
    ),
    candidates AS (
        SELECT id, any(author_id) AS author, any(created_at) AS created, any(text) AS words, any(media) AS attached
        FROM (
            SELECT id, author_id, created_at, text, media
            FROM posts_cdc FINAL
            WHERE author_id IN (followed) AND created_at >= now() - INTERVAL 72 HOUR
            ORDER BY created_at DESC
            LIMIT 500
            UNION ALL
            SELECT id, author_id, created_at, text, media
            FROM posts_cdc FINAL
            WHERE id IN (hot)
            UNION ALL
            SELECT id, author_id, created_at, text, media
            FROM posts_cdc FINAL
            WHERE author_id IN (SELECT author_id FROM affinity ORDER BY interactions DESC LIMIT 50)
                AND created_at >= now() - INTERVAL 168 HOUR
            ORDER BY created_at DESC
            LIMIT 500
        )
        GROUP BY id
    )
SELECT
    candidates.id, author, created, words, attached, impressions, likes, comments, shares, affinity.interactions,
    exp(-0.1 * dateDiff('second', created, now()) / 3600) AS freshness,
    log1p((likes + 2 * comments + 3 * shares) / greatest(1, impressions)) AS engagement,
    log1p(affinity.interactions) AS closeness,
    0.30 * freshness + 0.40 * engagement + 0.30 * closeness AS final
FROM candidates
LEFT JOIN metrics ON metrics.post_id = candidates.id
LEFT JOIN affinity ON affinity.author_id = author
WHERE author != {viewer:UUID}
ORDER BY final DESC, created DESC
LIMIT 500
