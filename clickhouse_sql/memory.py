"""What the server holds in memory beside the tables: the dictionary recent_counts, made out of dictionaries/.

It is no part of the schema that holds data: it can be made again at any time, and ranking does without it.
"""

import hashlib
from typing import Any
from uuid import UUID

from django.conf import settings

from clickhouse_sql import schema
from nova import clickhouse
from nova.errors import NovaError

NAME = "recent_counts"
DROP = f"DROP DICTIONARY IF EXISTS {NAME}"
RELOAD = f"SYSTEM RELOAD DICTIONARY {NAME}"
_ASK = f"SELECT dictHas('{NAME}', tuple(toUUID({{post:String}})))"
_COMMENT = "SELECT comment FROM system.dictionaries WHERE database = currentDatabase() AND name = {name:String}"
_LOAD_SECONDS = 600.0


def wanted() -> bool:
    """Whether the settings want it. On a cluster each host would hold the counts of all."""
    return bool(settings.COUNTS_MEMORY_SECONDS) and not settings.CLICKHOUSE_CLUSTER


def statement(where: dict[str, Any]) -> str:
    """The statement that makes it. where: as `settings.CLICKHOUSE`; it holds the password, which the server keeps."""
    dictionary, query = schema.dictionary(NAME).statements
    database = "`" + _escaped(where["database"], "`") + "`"
    return dictionary.format(
        user=_text(where["user"]),
        password=_text(where["password"]),
        query=_text(query.format(database=database)),
        comment=_text(_digest(where["user"])),
    )


def renew() -> None:
    """Load it as it is now; make it anew when there is none, it is another, or it cannot be loaded, as after a change
    of the password; or drop it when it is not wanted.

    Raises a `nova.errors` class when ClickHouse refuses, as when that user may not load or ask it.
    """
    if not wanted():
        clickhouse.command(DROP)
        return
    if not _is_loaded():
        clickhouse.command(statement(settings.CLICKHOUSE))
        load()
    clickhouse.command(_ASK, {"post": str(UUID(int=0))})


def load() -> None:
    """Load it, and wait for that. Raises a `nova.errors` class."""
    clickhouse.command(RELOAD, timeout=_LOAD_SECONDS)


def _is_loaded() -> bool:
    """Load what is there, if it is as declared: meanwhile, what was loaded before serves. One that is replaced would
    make all readers wait."""
    if clickhouse.query(_COMMENT, {"name": NAME}) != [(_digest(settings.CLICKHOUSE["user"]),)]:
        return False
    try:
        load()
    except NovaError:
        return False
    return True


def _digest(user: str) -> str:
    said = (*schema.dictionary(NAME).statements, user)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def _text(value: str) -> str:
    return "'" + _escaped(value, "'") + "'"


def _escaped(value: str, quote: str) -> str:
    return value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
