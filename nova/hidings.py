"""Whom a viewer hid, or was hidden from, lately: what may be in feeds made before, while PostgreSQL does not answer.

    hidden:v1:{viewer}    set of "author row": by row, because two members may each hide the other

Ingestion writes, ranking asks; neither knows the other. It is kept as long as the longest kept feed. A feed made later
was made without them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from nova import redis


class Hiding(NamedTuple):
    """A viewer does not see an author, by a row of `blocks`."""

    viewer: UUID
    author: UUID
    row: UUID


def key(viewer: UUID | str) -> str:
    """The Redis key of a viewer's set."""
    return f"hidden:v1:{viewer}"


def note(changes: Mapping[Hiding, bool]) -> None:
    """Remember the hidings that began (True), forget those that ended. Raises `redis.RedisError`."""
    if not changes:
        return
    pipeline = redis.cache().pipeline(transaction=False)
    for (viewer, author, row), has_begun in changes.items():
        if has_begun:
            pipeline.sadd(key(viewer), f"{author} {row}")
            pipeline.expire(key(viewer), max(settings.SNAPSHOT_HARD_SECONDS, settings.LAST_GOOD_SECONDS))
        else:
            pipeline.srem(key(viewer), f"{author} {row}")
    pipeline.execute()


def lately(client: Any, viewer: UUID | str) -> set[str]:
    """The authors that the viewer hid lately, or that hid them. client: of the cache Redis. Raises as `note` does."""
    return {said.decode().partition(" ")[0] for said in client.smembers(key(viewer))}
