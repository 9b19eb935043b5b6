"""What one stack consists of: its engines, its application processes, its ports and its environment."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from embedded import apps as applications
from embedded import credentials, ports
from embedded.engines import clickhouse, connect, kafka, postgres, redis
from embedded.errors import StackError
from embedded.record import MARK
from embedded.service import Outside, Service
from embedded.unprivileged import STAGING

PORTS = (
    *("web", "postgres", "redis", "clickhouse", "clickhouse-http", "kafka", "kafka-controller", "connect"),
    *("stream", "events-consumer", "cdc-consumer"),
)

MADE_HERE = (
    *("postgres", "postgres.role", STAGING, "redis", "clickhouse", "kafka", "connect", "static", "metrics", "log"),
    *("secrets.json", "ports.json", "stack.json", "simulation.json", "lock"),
)
"""What a stack makes in its data folder. What else lies there, as downloads or other stacks, is not its own."""

ENGINES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "postgres": ("DATABASE_URL", postgres.answers),
    "redis": ("REDIS_URL", redis.answers),
    "clickhouse": ("CLICKHOUSE_URL", clickhouse.answers),
    "kafka": ("KAFKA_BOOTSTRAP_SERVERS", kafka.answers),
    "connect": ("KAFKA_CONNECT_URL", connect.answers),
}
"""Per engine: the variable that names it, and how to ask whether a server of its kind answers there."""


@dataclass(frozen=True)
class Plan:
    """A stack that could be started."""

    var: Path
    services: list[Service]
    ports: dict[str, int]
    env: dict[str, str]
    """What settings read. Application processes get it on top of our own environment."""


def plan(var: Path, *, apps: bool = True, demo: bool = False) -> Plan:
    """Lay out the stack of the data folder `var`: ports are chosen, secrets made; nothing is started.

    Raises StackError when `var` cannot be written or no ports are free.
    """
    try:
        (var / "log").mkdir(parents=True, exist_ok=True)
        secret = credentials.load(var / "secrets.json")
        chosen = ports.assign(PORTS, var / "ports.json")
    except PermissionError as error:
        raise StackError(
            f"{error.filename} may not be written by this user",
            "Another user (root?) made it. Run as that user, or choose another folder: NOVA_VAR=var-mine",
        ) from None
    engines, urls = _engines(var, chosen, secret)
    origin = f"http://127.0.0.1:{chosen['web']}"
    env = urls | {
        "DJANGO_SETTINGS_MODULE": "nova.settings",
        "DJANGO_SECRET_KEY": secret.django_secret_key,
        "JWT_SECRET": secret.jwt_secret,
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CSRF_TRUSTED_ORIGINS": f"{origin},http://localhost:{chosen['web']}",
        "STREAM_URL": f"http://127.0.0.1:{chosen['stream']}",
        "SECURE_COOKIES": "0",  # plain http, loopback only
        "STATIC_ROOT": str(var / "static"),
        "NOVA_VAR": str(var),
        MARK: str(var),
        "PYTHONUNBUFFERED": "1",
    }
    if demo:
        env["DEMO"] = "1"
    whole = {name: value for name, value in os.environ.items() if name != "DEMO"} | env
    programs = applications.programs(var, chosen, whole, demo=demo) if apps else []
    return Plan(var, [*engines, *programs], chosen, env)


def _engines(var: Path, port: dict[str, int], secret: credentials.Credentials) -> tuple[list[Service], dict[str, str]]:
    """The five engines, each ours or the one that the environment names, and the URLs of all."""
    own_postgres = postgres.Postgres(
        var, port["postgres"], password=secret.postgres, superuser_password=secret.postgres_superuser
    )
    own_redis = redis.Redis(var, port["redis"], password=secret.redis)
    own_clickhouse = clickhouse.ClickHouse(var, port["clickhouse"], port["clickhouse-http"])
    own_kafka = kafka.Kafka(var, port["kafka"], port["kafka-controller"])
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or own_kafka.servers
    own_connect = connect.Connect(var, port["connect"], servers=servers, needs=("kafka",))

    ours: list[tuple[Service, str]] = [
        (own_postgres, own_postgres.url),
        (own_redis, own_redis.url),
        (own_clickhouse, own_clickhouse.url),
        (own_kafka, own_kafka.servers),
        (own_connect, own_connect.url),
    ]
    services, urls = [], {}
    for own, url in ours:
        variable, answers = ENGINES[own.name]
        given = os.environ.get(variable)
        urls[variable] = given or url
        services.append(_outside(own, given, answers) if given else own)
    urls["REDIS_CACHE_URL"] = os.environ.get("REDIS_CACHE_URL") or _database(urls["REDIS_URL"], 1)
    return services, urls


def _outside(own: Service, url: str, answers: Callable[[str], bool]) -> Outside:
    return Outside(own.name, own.title, without_password(url), lambda: answers(url))


def without_password(url: str) -> str:
    """The address for people to see: user and password left out."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "://" in url else url


def _database(url: str, number: int) -> str:
    """The same Redis, another of its numbered databases."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))
