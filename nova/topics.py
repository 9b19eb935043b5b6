"""The names of the Kafka topics."""

EVENTS = "events"
DLQ_EVENTS = "dlq.events"
DLQ_CDC = "dlq.cdc"
CDC_PREFIX = "nova"
# The tables whose changes flow through Debezium, as PostgreSQL names them.
CDC_TABLES = ("posts", "follows", "comments", "likes", "blocks")

# The largest change, in bytes: a row and what it was before. With Kafka's own bound of a megabyte a long text that was
# written past Nova would stop the stream of all changes.
LARGEST_CHANGE = 8 * 1024 * 1024


def of_table(table: str) -> str:
    """The topic that carries the changes of a source table: `nova.public.posts` for `posts`."""
    return f"{CDC_PREFIX}.public.{table}"


CDC = tuple(of_table(table) for table in CDC_TABLES)
ALL = (EVENTS, *CDC, DLQ_EVENTS, DLQ_CDC)
