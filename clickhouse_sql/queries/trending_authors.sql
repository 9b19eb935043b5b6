-- The authors whose posts the community reacts to now: as in trending.sql, by author.
SELECT
    author_id,
    sum(momentum * exp(-{decay:Float64} * greatest(0, dateDiff('second', hour, {now:DateTime64(6, 'UTC')})) / 3600)) AS velocity,
    uniqMerge(reactors) AS people
FROM post_metrics_1h
WHERE hour >= toStartOfHour({after:DateTime64(6, 'UTC')}) AND hour <= {now:DateTime64(6, 'UTC')}
    AND author_id != toUUID('00000000-0000-0000-0000-000000000000')
GROUP BY author_id
HAVING people >= {floor:UInt32} AND velocity > 0
ORDER BY velocity DESC, author_id DESC
LIMIT {cap:UInt32}
