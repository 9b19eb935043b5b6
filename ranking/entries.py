"""A post of a feed, ready to be sent: its JSON, why it stands where it does, and its place in the order as text.

Packed for Redis as fixed columns before the JSON, so that a script and a reader find them by position:

    0..34 rank   35..70 post id   71..106 author id   107.. JSON

rank and id together are the sort key: a feed is in falling order of it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from nova.depth import is_deeper
from ranking import authors
from ranking.explanation import Basis, Explanation
from ranking.merge import Post, Ranked
from ranking.scoring import Counts, Weights

_KEY = slice(0, 71)
_CREATED = slice(19, 35)
_ID = slice(35, 71)
_AUTHOR = slice(71, 107)
_JSON = slice(107, None)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The column of the time holds so many microseconds: until the year 2286.
_LAST = 10**16 - 1


class Entry(NamedTuple):
    """One post: `packed` as above, and why it stands there, where that was read."""

    packed: bytes
    why: Explanation | None = None

    @property
    def key(self) -> str:
        """The sort key: in a feed, what follows has a smaller one."""
        return self.packed[_KEY].decode()

    @property
    def created_at(self) -> datetime:
        """When the post was made, to the microsecond; what lies before 1970 or after 2286 as the nearest moment."""
        return _EPOCH + timedelta(microseconds=int(self.packed[_CREATED]))

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
        """The post as JSON, with the fields of the explanation among its own."""
        return self.item if self.why is None else self.item[:-1] + b"," + orjson.dumps(self.why.as_dict())[1:]

    @classmethod
    def of(cls, post: Post, final: float, item: Mapping[str, Any], why: Explanation | None = None) -> Self:
        """Pack a post. final: 0 where posts are in order of time alone."""
        microseconds = min(max(0, (post.created_at - _EPOCH) // _MICROSECOND), _LAST)
        place = f"{0 if post.seen else 1}{final:018.12f}{microseconds:016d}{post.id}{post.author_id}"
        return cls(place.encode() + orjson.dumps(item, option=orjson.OPT_UTC_Z), why)


def ranked(items: Sequence[Ranked], basis: Basis) -> list[Entry]:
    """The entries of a ranked feed, in its order, with its authors' names when PostgreSQL gives them."""
    cards = authors.cards({item.post.author_id for item in items})
    return [
        Entry.of(
            item.post,
            item.final,
            shown(item.post, item.counts, cards[item.post.author_id]),
            Explanation.of_ranked(item, basis),
        )
        for item in items
    ]


def by_time(posts: Sequence[Post], source: str, counts: Mapping[str, Counts], now: datetime) -> list[Entry]:
    """The entries of a feed in order of time: there is no score, and the explanation says so with nulls."""
    cards = authors.cards({post.author_id for post in posts})
    basis = Basis.of(now, Weights.configured(), is_scored=False)
    entries = []
    for post in posts:
        counted = counts.get(post.id, Counts())
        item = shown(post, counted, cards[post.author_id])
        why = Explanation((source,), 0, 0, counted, post.created_at, basis)
        entries.append(Entry.of(post, 0.0, item, why))
    return entries


def bytes_of_ids(ids: Sequence[str]) -> bytes:
    """The ids of posts in order, 16 bytes each."""
    return bytes.fromhex("".join(ids).replace("-", ""))


def ids_of_bytes(data: bytes) -> list[str]:
    """The ids that `bytes_of_ids` wrote."""
    return [str(UUID(bytes=data[start : start + 16])) for start in range(0, len(data), 16)]


def rfc3339(moment: datetime) -> str:
    """A time in UTC as JSON holds it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(post: Post, counts: Counts | None, author: Mapping[str, Any]) -> dict[str, Any]:
    """A post as a reader gets it, for `orjson` with OPT_UTC_Z."""
    created = post.created_at
    return {
        "id": post.id,
        "author": author,
        # Left to orjson, which is faster by far but for a whole second leaves out the fraction.
        "created_at": created if created.microsecond else rfc3339(created),
        "text": post.text,
        "media": _media(post.media),
        "counts": _counted(counts or Counts()),
        "seen": post.seen,
    }


def _counted(counts: Counts) -> dict[str, int]:
    """Counts as a reader sees them: never below zero, though an unlike may arrive before its like."""
    impressions, views, likes, comments, shares = counts if min(counts) >= 0 else [max(0, one) for one in counts]
    return {"impressions": impressions, "views": views, "likes": likes, "comments": comments, "shares": shares}


def _media(text: str) -> list[Any]:
    if text in {"[]", ""}:
        return []
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    # Some that were written past Nova could be read and not be written again, or are no list of objects.
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) and not is_deeper(said) else []
