"""Kafka and Kafka Connect: the broker between what happens and what is counted."""

import re
from pathlib import Path

from nova.settings import env

_HINT = "HOST:9092, several separated by commas"
# What librdkafka reads otherwise than it looks: of a port that is none it takes the lower bits, of a word 0.
_SERVER = re.compile(r"(?:(?:SASL_)?(?:PLAINTEXT|SSL)://)?(?:[\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?", re.IGNORECASE)

KAFKA = {
    "bootstrap.servers": env.text("KAFKA_BOOTSTRAP_SERVERS", hint=_HINT),
    "security.protocol": env.choice(
        "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    ),
}
_servers = [_SERVER.fullmatch(server.strip()) for server in KAFKA["bootstrap.servers"].split(",")]
if KAFKA["bootstrap.servers"] and not all(server and 0 < int(server[1] or 9092) < 65_536 for server in _servers):
    env.problem("KAFKA_BOOTSTRAP_SERVERS", f"names one that is no HOST:PORT. Set it to {_HINT}")
for _name, _key in (
    ("KAFKA_SASL_MECHANISM", "sasl.mechanism"),
    ("KAFKA_SASL_USERNAME", "sasl.username"),
    ("KAFKA_SASL_PASSWORD", "sasl.password"),
    ("KAFKA_SSL_CA", "ssl.ca.location"),
):
    if _value := env.text(_name, ""):
        KAFKA[_key] = _value
if KAFKA["security.protocol"].startswith("SASL") and "sasl.mechanism" not in KAFKA:
    env.problem("KAFKA_SASL_MECHANISM", "is not set. Set it to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, as brokers have")
if "ssl.ca.location" in KAFKA and not Path(KAFKA["ssl.ca.location"]).exists():
    env.problem("KAFKA_SSL_CA", f"names {KAFKA['ssl.ca.location']}, which is not there. Set it to a certificate file")
KAFKA_CONNECT_URL = env.url(
    "KAFKA_CONNECT_URL", "http://127.0.0.1:8083", schemes=("http", "https"), hint="http://HOST:8083"
).geturl()
KAFKA_REPLICATION = env.whole("KAFKA_REPLICATION", 1, low=1, high=7)
KAFKA_PARTITIONS = env.whole("KAFKA_PARTITIONS", 4, low=1, high=1000)
KAFKA_RETENTION_HOURS = env.whole("KAFKA_RETENTION_HOURS", 168, low=1, high=8760)

# How long POST /api/events waits for the broker before it answers 503.
INTAKE_ACK_SECONDS = env.number("INTAKE_ACK_SECONDS", 5, low=0.1, high=60)
INTAKE_QUEUE_MESSAGES = env.whole("INTAKE_QUEUE_MESSAGES", 100_000, low=1, high=10_000_000)

# The consumers: a batch of one partition closes by size or by age, whichever comes first.
BATCH_MESSAGES = env.whole("BATCH_MESSAGES", 100_000, low=1, high=1_000_000)
BATCH_SECONDS = env.number("BATCH_SECONDS", 0.3, low=0.0, high=60)
DEDUP_TTL_SECONDS = env.whole("DEDUP_TTL_SECONDS", 3600, low=1, high=604_800)
DEAD_LETTERS_IN_A_ROW = env.whole("DEAD_LETTERS_IN_A_ROW", 500, low=1, high=1_000_000)
DEAD_LETTERS_SHARE = env.number("DEAD_LETTERS_SHARE", 0.5, low=0.001, high=1.0)
DRAIN_SECONDS = env.number("DRAIN_SECONDS", 20, low=1, high=600)
HEALTH_HOST = env.text("HEALTH_HOST", "127.0.0.1")
HEALTH_PORT = env.whole("HEALTH_PORT", 0, low=0, high=65_535)
