-- Decayed momentum: what an hour's likes, comments and shares still weigh now. The authors' own are in neither number.
SELECT
    post_id,
    sum(momentum * exp(-{decay:Float64} * greatest(0, dateDiff('second', hour, {now:DateTime64(6, 'UTC')})) / 3600)) AS velocity,
    uniqMerge(reactors) AS people
FROM post_metrics_1h
WHERE hour >= toStartOfHour({after:DateTime64(6, 'UTC')}) AND hour <= {now:DateTime64(6, 'UTC')}
GROUP BY post_id
HAVING people >= {floor:UInt32} AND velocity > 0
ORDER BY velocity DESC, post_id DESC
LIMIT {cap:UInt32}
