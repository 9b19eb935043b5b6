"""What the page reads: the feed and what is trending through ranking, comments and texts from the community."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any
from uuid import UUID

from rest_framework.exceptions import NotFound

from community import selectors
from feed.page import directory
from feed.page.cards import author_of, card, moment_text, scale_of, short_text, stranger
from nova import clock
from nova.errors import NovaError
from ranking import pipeline

PAGE_POSTS = 20
TRENDING_POSTS = 8
# The posts whose counts one pulse brings up to date.
MOST_LIVE = 100


@dataclass(frozen=True, slots=True)
class Status:
    """How a feed was made, as the line below the page's head says it. usual: the algorithm while nothing is down;
    latency_ms: what ranking took on the server; experiment: whose weights ranked it, "" for the settings'."""

    algorithm: str
    usual: str
    cache_hit: bool
    snapshot: str
    age: str
    latency_ms: float
    breaker: str
    stale: bool
    experiment: str

    @property
    def fell_back(self) -> bool:
        return self.algorithm != self.usual


@dataclass(frozen=True, slots=True)
class Pulse:
    """status: None when there is no feed. counts: JSON, post id → its reactions, {} when it is gone. newer: posts the
    reader has not."""

    status: Status | None
    counts: str
    changed: bool
    newer: int


def _read(member: UUID, cursor: str | None, limit: int) -> tuple[pipeline.Page, Status]:
    start = perf_counter()
    page = pipeline.page(member, limit=limit, cursor=cursor, explain=True)
    elapsed = (perf_counter() - start) * 1000
    age = moment_text((clock.now() - datetime.fromisoformat(page.generated_at)).total_seconds())
    return page, Status(
        algorithm=page.algorithm,
        usual=pipeline.usual_algorithm(member),
        cache_hit=page.cache_hit,
        snapshot=page.snapshot,
        age=age,
        latency_ms=elapsed,
        breaker=pipeline.breaker_state(),
        stale=page.stale,
        experiment=page.experiment or "",
    )


def read(member: UUID, cursor: str = "") -> dict[str, Any]:
    """The context of a page of posts. A cursor that is none begins at the top; no feed at all is `unavailable`."""
    try:
        page, status = _read(member, cursor or None, PAGE_POSTS)
    except pipeline.InvalidCursor:
        return read(member)
    except NovaError:
        return {"unavailable": True, "status": None}
    posts = page.posts
    ids = {UUID(post["id"]) for post in posts}
    ties = directory.relations(member, {author_of(post).id for post in posts}, ids)
    now, scale = clock.now(), scale_of(posts)
    return {
        "status": status,
        "cards": [card(post, relations=ties, now=now, scale=scale) for post in posts],
        "known": ties.known,
        "next": page.cursor,
        "paged": bool(cursor),
    }


def pulse(member: UUID, shown: str, posts: Collection[UUID]) -> Pulse:
    """What became of a feed. shown: the snapshot the reader has, "" for none; posts: those whose counts they see.

    A feed made for this very question is told with the next one, once it was kept, unless it has news: while Redis is
    away none is kept, and each would take the page's place for nothing.
    """
    try:
        page, status = _read(member, None, 1)
    except NovaError:
        return Pulse(None, "{}", False, 0)
    newer = _newer(member, shown) if page.snapshot != shown else 0
    counts = {str(post): numbers for post, numbers in directory.reactions(posts).items()}
    changed = page.snapshot != shown and (not shown or page.cache_hit or newer > 0)
    return Pulse(status, json.dumps(counts), changed, newer)


def _newer(member: UUID, shown: str) -> int:
    try:
        return pipeline.newer(member, shown) if shown else 0
    except (ValueError, NovaError):
        return 0


def trending(member: UUID) -> list[dict[str, Any]] | None:
    """The hottest posts of a day; None while ClickHouse does not answer."""
    try:
        posts = pipeline.trending(member, "24h", TRENDING_POSTS).posts
    except NovaError:
        return None
    return [
        {"id": post["id"], "text": short_text(post["text"], 140), "author": author_of(post), "counts": post["counts"]}
        for post in posts
    ]


def why(member: UUID, post: UUID) -> dict[str, Any]:
    """The context of a post's place in the feed, or of why it has none; `why` is None when nobody can tell now."""
    try:
        return {"why": pipeline.why(member, post)}
    except pipeline.NoSuchPost:
        return {"why": None, "gone": True}
    except (NovaError, *directory.DOWN):
        return {"why": None}


def liked(member: UUID, post: UUID, on: bool) -> dict[str, Any]:
    """The context of a like button. Raises OperationalError."""
    return {"id": post, "liked": on, "counts": directory.reactions([post]).get(post, {})}


def detail(member: UUID, post: UUID) -> dict[str, Any]:
    """The context of an opened post: its author, text and comments; `known=False` while PostgreSQL does not answer."""
    person = directory.member(member) or stranger(member)
    try:
        found = selectors.post(post)
        author = directory.member(found.author_id) or stranger(found.author_id)
        comments, earlier = directory.comments(post, clock.now())
    except directory.DOWN:
        return {"member": person, "post_id": post, "known": False}
    except NotFound:
        return {"member": person, "post_id": post, "known": True, "gone": True}
    said = {"comments": comments, "earlier": earlier}
    return {"member": person, "post_id": post, "known": True, "author": author, "text": found.text, **said}
