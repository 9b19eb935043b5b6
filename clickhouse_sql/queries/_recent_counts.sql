,
    dictGet('recent_counts', ('impressions', 'views', 'likes', 'comments', 'shares'), id)
