"""ClickHouse: events, the copies of the source tables, and the aggregates that ranking reads."""

import os
import re
from typing import Any
from urllib.parse import parse_qs, unquote

from nova.settings import env

_HINT = "clickhouse://USER:PASSWORD@HOST:9000/nova_feed?http_port=8123 (clickhouses:// for TLS)"
_url = env.url("CLICKHOUSE_URL", schemes=("clickhouse", "clickhouses"), hint=_HINT)
_query = parse_qs(_url.query)
_secure = _url.scheme == "clickhouses"

_http_port = _query.get("http_port", ["8443" if _secure else "8123"])[0]
if not (_http_port.isdecimal() and 0 < int(_http_port) < 65536):
    env.problem("CLICKHOUSE_URL", f"has an http_port that is no port. Set it to {_HINT}")
    _http_port = "0"

CLICKHOUSE: dict[str, Any] = {
    "host": _url.hostname or "",
    "port": _url.port or (9440 if _secure else 9000),
    "http_port": int(_http_port),
    "database": _url.path.strip("/") or "nova_feed",
    "user": unquote(_url.username or "default"),
    "password": unquote(_url.password or ""),
    "secure": _secure,
}
# The cluster (in the servers' remote_servers) that the tables are spread over; none: one host has them all.
CLICKHOUSE_CLUSTER = env.text("CLICKHOUSE_CLUSTER", "")
if not re.fullmatch(r"[\w-]*", CLICKHOUSE_CLUSTER):
    env.problem("CLICKHOUSE_CLUSTER", "is no cluster's name. Set it to letters, digits, _ and -")
# The server holds the counts of recent posts in memory, and a feed takes them from there while they are no older than
# this; 0: they are always asked of the table. Not on a cluster, where each host would hold those of all.
COUNTS_MEMORY_SECONDS = env.number("COUNTS_MEMORY_SECONDS", 0 if CLICKHOUSE_CLUSTER else 15, low=0, high=3600)
if CLICKHOUSE_CLUSTER and COUNTS_MEMORY_SECONDS:
    env.problem("COUNTS_MEMORY_SECONDS", "cannot be used with CLICKHOUSE_CLUSTER. Leave it out, or set it to 0")
# What a reader of a feed may wait for ClickHouse before the breaker counts a failure.
CLICKHOUSE_DEADLINE = env.number("CLICKHOUSE_DEADLINE_SECONDS", 1.0, low=0.05, high=60)
CLICKHOUSE_POOL = env.whole("CLICKHOUSE_POOL", 12, low=1, high=200)

# The driver would make a table of all days of four centuries in each process when it is imported: 20 MB, and a tenth of
# a second. So it makes those that it meets.
os.environ.setdefault("CLICKHOUSE_DRIVER_LASY_DATE_LUT", "2024-01-01:2034-01-01")
