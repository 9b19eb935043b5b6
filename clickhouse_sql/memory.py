"""What the server holds in memory beside the tables: the dictionary recent_counts, made out of dictionaries/.

It is no part of the schema that holds data: it can be made again at any time, and ranking does without it.
"""

from typing import Any

from django.conf import settings

from clickhouse_sql import schema
from nova import clickhouse

NAME = "recent_counts"
DROP = f"DROP DICTIONARY IF EXISTS {NAME}"
RELOAD = f"SYSTEM RELOAD DICTIONARY {NAME}"


def wanted() -> bool:
    """Whether the settings want it. On a cluster each host would hold the counts of all."""
    return bool(settings.COUNTS_MEMORY_SECONDS) and not settings.CLICKHOUSE_CLUSTER


def statement(where: dict[str, Any]) -> str:
    """The statement that makes it. where: as `settings.CLICKHOUSE`; it holds the password, which the server keeps and
    shows to nobody."""
    dictionary, query = schema.dictionary(NAME).statements
    database = "`" + _escaped(where["database"], "`") + "`"
    return dictionary.format(
        user=_text(where["user"]), password=_text(where["password"]), query=_text(query.format(database=database))
    )


def renew() -> None:
    """Make it anew, with the user and password of today, and load it; or drop it when it is not wanted.

    Raises a `nova.errors` class when ClickHouse refuses, as when that user may not read the table.
    """
    if not wanted():
        clickhouse.command(DROP)
        return
    clickhouse.command(statement(settings.CLICKHOUSE))
    clickhouse.command(RELOAD, timeout=600)


def _text(value: str) -> str:
    return "'" + _escaped(value, "'") + "'"


def _escaped(value: str, quote: str) -> str:
    return value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
