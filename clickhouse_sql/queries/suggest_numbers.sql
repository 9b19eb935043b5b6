-- Everyone who follows or is followed, numbered in the order of the id: 4 bytes where a UUID has 16, and none means another.
INSERT INTO numbered
SELECT id, toUInt32(rowNumberInAllBlocks() + 1)
FROM (SELECT DISTINCT arrayJoin([follower_id, followee_id]) AS id FROM follows_cdc WHERE NOT is_deleted ORDER BY id)
