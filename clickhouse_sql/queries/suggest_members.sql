-- What is known of each member, by number: whom they follow, and whose posts they have most to do with. Who follows more
-- than `fanout` leads to a sample of them, the same each time: the first ones in the order of the id, which is random.
INSERT INTO members
SELECT n, user, follows, interests
FROM numbered
LEFT JOIN (
    SELECT follower_id AS user, groupArray({fanout:UInt32})(joinGet('numbered', 'n', followee_id)) AS follows
    FROM (SELECT follower_id, followee_id FROM follows_cdc FINAL ORDER BY follower_id, followee_id)
    GROUP BY user
) AS followed USING user
LEFT JOIN (
    SELECT user, groupArray({interests:UInt32})(author) AS interests
    FROM (
        SELECT user_id AS user, joinGet('numbered', 'n', author_id) AS author, sum(interactions) AS weight
        FROM user_author_90d
        WHERE day >= {since:Date} AND user_id != author_id
        GROUP BY user_id, author_id
        HAVING weight > 0 AND author > 0
        ORDER BY user, weight DESC, author
    )
    GROUP BY user
) AS interested USING user
