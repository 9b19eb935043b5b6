(
        SELECT blocked_id FROM blocks_cdc FINAL WHERE blocker_id = {viewer:UUID}
        UNION ALL
        SELECT blocker_id FROM blocks_by_blocked FINAL WHERE blocked_id = {viewer:UUID} AND kind = 'block'
    )
