CREATE MATERIALIZED VIEW IF NOT EXISTS mv_posts_by_author TO posts_by_author AS
SELECT author_id, created_at, id, text, media, content_key, version, is_deleted
FROM posts_cdc;
