-- What the viewer has seen lately.
SELECT DISTINCT toString(post_id) FROM /*seen*/
