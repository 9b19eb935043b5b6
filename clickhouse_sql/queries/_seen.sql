(
        SELECT post_id FROM seen_posts PREWHERE user_id = {viewer:UUID} WHERE seen_at >= {seen_after:DateTime64(6, 'UTC')}
    )
