"""The names of authors, read from PostgreSQL and remembered for a moment by each process.

A name is no reason to fail: while PostgreSQL does not answer, an author is known by id alone.
"""

import threading
from collections.abc import Collection
from time import monotonic
from typing import TypedDict

from django.db import DatabaseError

from community import selectors

REMEMBER_SECONDS = 60.0
_SIZE = 50_000
# After a failure names are not asked for this long: without PostgreSQL each try would wait for a connection.
_LEAVE_ALONE_SECONDS = 5.0


class Card(TypedDict):
    """An author as the feed shows them. The names are null while they cannot be read, or when the member is gone."""

    id: str
    username: str | None
    display_name: str | None


_lock = threading.Lock()
_remembered: dict[str, tuple[Card, float]] = {}
_again_at = 0.0


def cards(ids: Collection[str]) -> dict[str, Card]:
    """A card for every id. Raises nothing; blocks for one query of PostgreSQL at most."""
    now = monotonic()
    found: dict[str, Card] = {}
    for identifier in ids:
        card, until = _remembered.get(identifier, (None, 0.0))
        if card is not None and now < until:
            found[identifier] = card
    missing = [identifier for identifier in ids if identifier not in found]
    for identifier, card in _read(missing, now).items():
        found[identifier] = card
    for identifier in missing:
        found.setdefault(identifier, Card(id=identifier, username=None, display_name=None))
    return found


def forget() -> None:
    """Remember nothing: names, or that PostgreSQL did not answer."""
    global _again_at
    with _lock:
        _remembered.clear()
    _again_at = 0.0


def _read(ids: Collection[str], now: float) -> dict[str, Card]:
    global _again_at
    if not ids or now < _again_at:
        return {}
    try:
        rows = selectors.member_cards(ids)
    except DatabaseError:
        _again_at = monotonic() + _LEAVE_ALONE_SECONDS
        return {}
    read = {key: Card(id=key, username=row["username"], display_name=row["display_name"]) for key, row in rows.items()}
    with _lock:
        while _remembered and len(_remembered) + len(read) > _SIZE:
            del _remembered[next(iter(_remembered))]
        for identifier, card in read.items():
            _remembered[identifier] = (card, now + REMEMBER_SECONDS)
    return read
