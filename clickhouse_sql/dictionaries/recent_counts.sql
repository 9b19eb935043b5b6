-- The counts of the posts of the last eight days, in the server's memory: a feed asks for those of hundreds of posts,
-- and in post_counters each is a place of its own. LIFETIME(0): what is loaded is loaded again only when the server is
-- told to (ranking/recent.py), as often as feeds need it. It reads the table as the user that made it. Days as in the
-- view of post_counters; one more than readers believe it for, because today() is the server's. The comment names this
-- definition.
CREATE OR REPLACE DICTIONARY recent_counts
(
    post_id UUID,
    impressions Int64,
    views Int64,
    likes Int64,
    comments Int64,
    shares Int64
)
PRIMARY KEY post_id
SOURCE(CLICKHOUSE(
    USER {user}
    PASSWORD {password}
    QUERY {query}
))
LAYOUT(COMPLEX_KEY_HASHED_ARRAY())
LIFETIME(0)
COMMENT {comment};

SELECT
    post_id,
    sum(impressions) AS impressions,
    sum(views) AS views,
    sum(likes) AS likes,
    sum(comments) AS comments,
    sum(shares) AS shares
FROM {database}.post_counters
WHERE post_day >= today() - 8
GROUP BY post_id;
