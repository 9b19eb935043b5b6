"""A post of a feed, ready to be sent: its JSON, why it stands where it does, and its place in the order as text.

Packed for Redis as fixed columns before the JSON, so that a script and a reader find them by position:

    0..34 rank   35..70 post id   71..106 author id   107.. JSON

rank and id together are the sort key: a feed is in falling order of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import orjson
from django.conf import settings

from ranking import authors
from ranking.merge import Post, Ranked
from ranking.scoring import Counts, Weights, score

_KEY = slice(0, 71)
_CREATED = slice(19, 35)
_ID = slice(35, 71)
_AUTHOR = slice(71, 107)
_JSON = slice(107, None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One post: `packed` as above, `why` the JSON object that explains it."""

    packed: bytes
    why: bytes

    @property
    def key(self) -> str:
        """The sort key: in a feed, what follows has a smaller one."""
        return self.packed[_KEY].decode()

    @property
    def created(self) -> float:
        """When the post was made, in Unix seconds."""
        return int(self.packed[_CREATED]) / 1_000_000

    @property
    def id(self) -> str:
        return self.packed[_ID].decode()

    @property
    def author_id(self) -> str:
        return self.packed[_AUTHOR].decode()

    @property
    def item(self) -> bytes:
        """The post as JSON."""
        return self.packed[_JSON]

    @property
    def explained(self) -> bytes:
        """The post as JSON with the fields of `why` among its own."""
        return self.item[:-1] + b"," + self.why[1:]

    @classmethod
    def of(cls, post: Post, final: float, item: Mapping[str, Any], why: Mapping[str, Any]) -> Self:
        """Pack a post. final: 0 where posts are in order of time alone."""
        microseconds = int(post.created_at.timestamp() * 1_000_000)
        rank = f"{0 if post.seen else 1}{final:018.12f}{microseconds:016d}"
        return cls(f"{rank}{post.id}{post.author_id}".encode() + orjson.dumps(item), orjson.dumps(why))


def ranked(items: Sequence[Ranked], weights: Weights) -> list[Entry]:
    """The entries of a ranked feed, in its order, with its authors' names when PostgreSQL gives them."""
    cards = authors.cards({item.post.author_id for item in items})
    weighing = weights.as_dict()
    return [
        Entry.of(
            item.post,
            item.score.final,
            shown(item.post, item.counts, cards[item.post.author_id]),
            {
                "sources": item.sources,
                "freshness": item.score.freshness,
                "engagement": item.score.engagement,
                "affinity": item.score.affinity,
                "final": item.score.final,
                "moved_by_diversity": item.moved_by,
                "inputs": inputs_of(item.score.age_hours, item.counts, item.interactions),
                "weights": weighing,
            },
        )
        for item in items
    ]


def by_time(posts: Sequence[Post], source: str, counts: Mapping[str, Counts], now: datetime) -> list[Entry]:
    """The entries of a feed in order of time: there is no score, and the explanation says so with nulls."""
    cards = authors.cards({post.author_id for post in posts})
    weights = Weights.configured()
    entries = []
    for post in posts:
        counted = counts.get(post.id, Counts())
        age = (now - post.created_at).total_seconds() / 3600
        known = score(weights, age_hours=age, counts=counted, interactions=0)
        why = {
            "sources": [source],
            "freshness": known.freshness,
            "engagement": None,
            "affinity": None,
            "final": None,
            "moved_by_diversity": 0,
            "inputs": {**inputs_of(known.age_hours, counted, None), "impressions": None, "shares": None},
            "weights": None,
        }
        entries.append(Entry.of(post, 0.0, shown(post, counted, cards[post.author_id]), why))
    return entries


def bytes_of_ids(ids: Sequence[str]) -> bytes:
    """The ids of posts in order, 16 bytes each."""
    return b"".join(UUID(identifier).bytes for identifier in ids)


def ids_of_bytes(data: bytes) -> list[str]:
    """The ids that `bytes_of_ids` wrote."""
    return [str(UUID(bytes=data[start : start + 16])) for start in range(0, len(data), 16)]


def rfc3339(moment: datetime) -> str:
    """A time in UTC as JSON holds it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(post: Post, counts: Counts | None, author: Mapping[str, Any]) -> dict[str, Any]:
    """A post as a reader gets it."""
    return {
        "id": post.id,
        "author": author,
        "created_at": rfc3339(post.created_at),
        "text": post.text,
        "media": _media(post.media),
        "counts": _counted(counts or Counts()),
        "seen": post.seen,
    }


def _counted(counts: Counts) -> dict[str, int]:
    """Counts as a reader sees them: never below zero, though an unlike may arrive before its like."""
    return {
        "impressions": max(0, counts.impressions),
        "views": max(0, counts.views),
        "likes": max(0, counts.likes),
        "comments": max(0, counts.comments),
        "shares": max(0, counts.shares),
    }


def inputs_of(age_hours: float, counts: Counts, interactions: int | None) -> dict[str, Any]:
    """The numbers that the parts of a score are worked out from."""
    return {
        "age_hours": age_hours,
        "likes": counts.likes,
        "comments": counts.comments,
        "shares": counts.shares,
        "impressions": counts.impressions,
        "interactions": interactions,
        "affinity_days": settings.AFFINITY_DAYS,
    }


def _media(text: str) -> Any:
    try:
        return orjson.loads(text) if text else []
    except orjson.JSONDecodeError:
        return []
