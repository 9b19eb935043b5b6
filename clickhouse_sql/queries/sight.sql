-- What one viewer must not see, and what of some posts they have seen: for posts that are the same for everyone.
SELECT true AS hidden, blocked_id AS id FROM /*hidden*/
UNION ALL
SELECT false, post_id FROM /*seen*/ WHERE post_id IN {ids:Array(UUID)}
