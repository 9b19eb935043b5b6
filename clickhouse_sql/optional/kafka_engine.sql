-- ClickHouse's own Kafka consumer, as in Nova's first design. It deduplicates nothing and knows no ledger, so it must never
-- run beside `manage.py run_events_consumer`; no command of Nova applies this file. It is here for comparison
-- and for installations that can bear repeats: fill in the broker, run it by hand, drop both to stop.
CREATE TABLE IF NOT EXISTS events_kafka
(
    event_id UUID,
    event_time DateTime64(6, 'UTC'),
    user_id UUID,
    post_id UUID,
    author_id UUID,
    action String,
    source String,
    dwell_ms UInt32,
    device String,
    app_ver String
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '{broker}',
    kafka_topic_list = 'events',
    kafka_group_name = 'nova-kafka-engine',
    kafka_format = 'JSONEachRow',
    kafka_num_consumers = 1,
    kafka_max_block_size = 262144,
    date_time_input_format = 'best_effort';

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_events_kafka TO events AS
SELECT event_id, event_time, user_id, post_id, author_id, action, source, dwell_ms, device, app_ver
FROM events_kafka;
