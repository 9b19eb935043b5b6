(
        SELECT post_id FROM seen_posts WHERE user_id = {viewer:UUID} AND seen_at >= {seen_after:DateTime64(6, 'UTC')}
    )
