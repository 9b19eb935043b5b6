CREATE MATERIALIZED VIEW IF NOT EXISTS mv_event_ids TO event_ids AS
SELECT toDate(event_time) AS day, event_id
FROM events;
