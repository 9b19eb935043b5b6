"""Suggested members as one viewer gets them: what the job kept, then trending authors until the page is full.

The list may be half an hour old. Whom the viewer has followed, blocked or muted since, who has blocked the viewer, and
who is gone, is taken out when it is read; so are friends who are no reason any more, and who has no other reason. Names
are as PostgreSQL has them.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from community import selectors
from community.models import Follow
from nova import clock
from nova.errors import NovaError
from ranking import authors, building, cache, suggestions
from ranking.authors import Card
from ranking.entries import rfc3339

log = logging.getLogger(__name__)

# Why somebody is suggested.
FRIENDS, TRENDING = "friends_of_friends", "trending"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may be suggested. mutual: of those the viewer follows, how many follow them; shared: authors both
    have much to do with; friends: the closest of the mutual ones; people: distinct members who reacted to their
    posts."""

    id: str
    score: float
    mutual: int = 0
    shared: int = 0
    friends: tuple[str, ...] = ()
    people: int = 0


@dataclass(frozen=True, slots=True)
class Suggestions:
    """users: {id, username, display_name, affinity_score, mutual_followers {count, members}, shared_interests,
    reason {code, text}}, best first; generated_at: RFC 3339, of the older of the lists they came from."""

    users: list[dict[str, Any]]
    generated_at: str


def suggested(viewer_id: UUID, limit: int, now: datetime | None = None) -> Suggestions:
    """At most `limit` members. An empty list when nobody is left to suggest.

    Raises `django.db.DatabaseError` without PostgreSQL, a `nova.errors` class when neither Redis nor ClickHouse
    answers.
    """
    at = now or clock.now()
    viewer = str(viewer_id)
    kept = cache.ask(lambda redis: redis.mget(suggestions.key(viewer), suggestions.TRENDING), (None, None))
    own, generated = _own(viewer, kept[0])
    chosen = _allowed(viewer_id, own)[:limit]
    if len(chosen) < limit:
        trending, trending_generated = _trending(kept[1], at, is_needed=not chosen)
        known = {one.id for one in chosen}
        more = [one for one in _allowed(viewer_id, trending) if one.id not in known]
        if more or not chosen:
            generated = min(filter(None, (generated, trending_generated)), default="")
        chosen += more[: limit - len(chosen)]
    cards = authors.cards({name for one in chosen for name in (one.id, *one.friends)})
    return Suggestions([_shown(one, cards) for one in chosen], generated or rfc3339(at))


def _own(viewer: str, value: bytes | None) -> tuple[list[Candidate], str]:
    """What the job kept for the viewer, and when it was worked out."""
    if value is None:
        return [], ""
    try:
        said = orjson.loads(value)
        friends = said["friends"]
        found = [
            Candidate(id=id, score=score, mutual=mutual, shared=shared, friends=tuple(friends[at] for at in closest))
            for id, score, mutual, shared, closest in said["users"]
        ]
        return found, said["generated_at"]
    except (ValueError, KeyError, IndexError, TypeError):
        # Of another version: the next run of the job writes it anew.
        log.warning("the suggestions of %s cannot be read", viewer)
        return [], ""


def _trending(value: bytes | None, now: datetime, *, is_needed: bool) -> tuple[list[Candidate], str]:
    """The authors for whoever has too few suggestions: kept by the job, or worked out now. is_needed: without them
    there is nothing to answer, and why they cannot be had is raised."""
    if value is not None:
        try:
            said = orjson.loads(value)
            kept = [Candidate(id=id, score=score, people=people) for id, score, people in said["users"]]
            return kept, str(said["generated_at"])
        except (ValueError, KeyError, TypeError):
            # Of another version, as in `_own`.
            log.warning("the trending authors that are kept cannot be read")
    try:
        rows = building.ask(lambda: suggestions.find_trending(now, timeout=settings.CLICKHOUSE_DEADLINE))
    except NovaError:
        if is_needed:
            raise
        return [], ""
    return [Candidate(id=id, score=score, people=people) for id, score, people in rows], rfc3339(now)


def _allowed(viewer: UUID, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that may be suggested now, in the same order."""
    if not candidates:
        return []
    ids = {UUID(one.id) for one in candidates}
    names = ids | {UUID(friend) for one in candidates for friend in one.friends}
    rows = Follow.objects.filter(follower_id=viewer, followee_id__in=names)
    followed = set(rows.values_list("followee_id", flat=True))
    hidden = selectors.hidden_authors(viewer)
    there = selectors.active_members(names)
    out = followed | hidden | {viewer}
    friends = {str(name) for name in (followed & there) - hidden}
    may = [one for one in candidates if UUID(one.id) in there and UUID(one.id) not in out]
    return [now for one in may if (now := _with_friends(one, friends))]


def _with_friends(one: Candidate, friends: Collection[str]) -> Candidate | None:
    """The candidate with those of the named friends that still are some; None when that was the reason and nobody is
    left. Of the mutual ones that have no name nothing is known before the job's next run."""
    left = tuple(friend for friend in one.friends if friend in friends)
    mutual = one.mutual - (len(one.friends) - len(left))
    return replace(one, friends=left, mutual=mutual) if mutual or not one.mutual else None


def _shown(one: Candidate, cards: dict[str, Card]) -> dict[str, Any]:
    friends = [cards[friend] for friend in one.friends]
    return {
        **cards[one.id],
        "affinity_score": round(one.score, 3),
        "mutual_followers": {"count": one.mutual, "members": friends},
        "shared_interests": one.shared,
        "reason": {"code": FRIENDS if one.mutual else TRENDING, "text": " ".join(_reason(one, friends))},
    }


def _reason(one: Candidate, friends: Sequence[Card]) -> Iterator[str]:
    """Why, in words."""
    if not one.mutual:
        yield f"{one.people} members reacted to their posts lately."
        return
    names = [friend["display_name"] or friend["username"] or "a member" for friend in friends]
    others = one.mutual - len(names)
    if others > 0:
        names.append(f"{others} {'other' if names else 'member'}{'' if others == 1 else 's'} you follow")
    yield f"Followed by {_listed(names)}."
    if one.shared:
        yield f"You both like the posts of {one.shared} {'author' if one.shared == 1 else 'authors'}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
