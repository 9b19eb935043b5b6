"""PostgreSQL: the truth about the community, the consumers' ledger and the dead letters."""

import re
from urllib.parse import parse_qsl, unquote

from nova.postgres import ImpatientConnection
from nova.settings import env

_HINT = "postgres://USER:PASSWORD@HOST:5432/NAME (USER needs REPLICATION for change data capture)"
_url = env.url("DATABASE_URL", schemes=("postgres", "postgresql"), hint=_HINT)

_options = dict(parse_qsl(_url.query))
_statement_ms = env.whole("DATABASE_STATEMENT_MS", 30_000, low=100, high=600_000)
# A server that did not even end a statement at its timeout answers no more.
DATABASE_PATIENCE_SECONDS = _statement_ms / 1000 + 5

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _url.hostname or "",
        "PORT": str(_url.port or 5432),
        "NAME": unquote(_url.path.lstrip("/")),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        # A pool and CONN_MAX_AGE exclude each other.
        "CONN_MAX_AGE": 0,
        # Or the pool hands out, after a restart of the server, connections that have long been dead.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": {
                "min_size": 0,
                "max_size": env.whole("DATABASE_POOL", 8, low=1, high=200),
                "timeout": 3,
                "connection_class": ImpatientConnection,
            },
            "connect_timeout": 3,
            # A host that vanished acknowledges nothing: the connection ends after so long (ms; an idle one after about
            # as long), not after the quarter of an hour that the kernel would go on trying.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": "nova",
            **_options,
            # Theirs behind ours, which they may outdo and not drop.
            "options": f"-c statement_timeout={_statement_ms} {_options.get('options', '')}".strip(),
        },
    }
}
if _url.hostname and not DATABASES["default"]["NAME"]:
    env.problem("DATABASE_URL", f"names no database. Set it to {_HINT}")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "community.User"

# How Debezium reaches the same database, when that differs (another host name inside a cluster, a role of its own).
CDC_DATABASE_URL = env.text("CDC_DATABASE_URL", "")
if CDC_DATABASE_URL:
    env.url("CDC_DATABASE_URL", schemes=("postgres", "postgresql"), hint=_HINT)
else:
    CDC_DATABASE_URL = env.text("DATABASE_URL", "")
CDC_SLOT = env.text("CDC_SLOT", "nova_cdc")
if not re.fullmatch(r"[a-z0-9_]{1,63}", CDC_SLOT):
    env.problem("CDC_SLOT", "is no name of a replication slot. Set it to small letters, digits and _, 63 at most")
CDC_PUBLICATION = "nova_cdc"
CDC_CONNECTOR = env.text("CDC_CONNECTOR", "nova-community")
