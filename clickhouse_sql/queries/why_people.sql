-- The distinct members behind what happened to one post in the window of trending, the author not counted.
SELECT uniqMerge(reactors)
FROM post_metrics_1h
WHERE hour >= toStartOfHour({after:DateTime64(6, 'UTC')}) AND hour <= {now:DateTime64(6, 'UTC')} AND post_id = {post:UUID}
