CREATE MATERIALIZED VIEW IF NOT EXISTS mv_blocks_by_blocked TO blocks_by_blocked AS
SELECT blocked_id, blocker_id, kind, version, is_deleted
FROM blocks_cdc;
