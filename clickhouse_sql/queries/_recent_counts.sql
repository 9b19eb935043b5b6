,
    toDate(UUIDv7ToDateTime(id, 'UTC')) >= toDate(now('UTC')) - 7,
    dictGet('recent_counts', ('impressions', 'views', 'likes', 'comments', 'shares'), id)
