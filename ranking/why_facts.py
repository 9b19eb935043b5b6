"""What `why` decides from: a viewer's feed as it is, and what ClickHouse, or PostgreSQL, knows of the post."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from community import selectors
from community.models import Post
from nova import clickhouse
from ranking import building, candidates, queries, trending
from ranking.candidates import Deadline, Gathered
from ranking.entries import Entry, rfc3339
from ranking.explanation import Basis, Explanation
from ranking.merge import rank
from ranking.snapshot import Slice
from ranking.sources import FOLLOWEES
from ranking.why import (
    IN_FEED,
    SENTENCES,
    Facts,
    Limits,
    Source,
    Threshold,
    Verdict,
    Why,
    decide,
    notes,
    refused,
)

_PROPOSED = "It proposes the post."
_SCORE = ("freshness", "engagement", "affinity", "final", "inputs", "weights")


class NoSuchPost(LookupError):
    """There never was such a post, or nobody remembers it."""


def explain(viewer: str, post: str, feed: Slice, now: datetime) -> Why:
    """feed: the whole of the viewer's, with explanations.

    Raises `NoSuchPost`; without ClickHouse a `nova.errors` class; without PostgreSQL, for a feed in order of time and
    for a post that ClickHouse does not know, `DatabaseError`.
    """
    about = feed.about
    known: dict[str, Any] = {
        "post": post,
        "algorithm": about.algorithm,
        "snapshot": about.snapshot,
        "generated_at": about.generated_at,
        "of": len(feed.entries),
    }
    for place, entry in enumerate(feed.entries, 1):
        if entry.id == post:
            return _in_feed(entry, place, known)
    if about.algorithm == building.CH:
        found = building.ask(lambda: _unranked(viewer, post, now))
        # Not within the call: that it knows no such post is an answer of ClickHouse's, no failure.
        if found is None:
            verdict, seen = _unheard_of(viewer, post), None
        else:
            facts, verdict = found
            seen = None if verdict.code == "not_available" else facts.seen
    else:
        verdict, seen = _not_in_time(viewer, post, feed), None
    ranked, basis = verdict.ranked, Basis.of(now, building.weights_of(viewer, building.CH, now))
    return Why(
        **known,
        in_feed=False,
        code=verdict.code,
        message=SENTENCES[verdict.code],
        rank=verdict.rank,
        seen=seen,
        sources=list(verdict.sources),
        score=None if ranked is None else _score(Explanation.of_ranked(ranked, basis)),
        moved_by_diversity=None if ranked is None else ranked.moved_by,
        duplicate_of=verdict.duplicate_of,
        threshold=_threshold(verdict),
        changes=notes(verdict.changes),
    )


def _threshold(verdict: Verdict) -> dict[str, Any] | None:
    known = verdict.threshold
    if known is None:
        return None
    return {"post": known.post, "final": known.final, "created_at": rfc3339(known.created_at)}


def _in_feed(entry: Entry, place: int, known: dict[str, Any]) -> Why:
    said = entry.why
    return Why(
        **known,
        in_feed=True,
        code=IN_FEED,
        message=SENTENCES[IN_FEED],
        place=place,
        seen=orjson.loads(entry.item)["seen"],
        sources=[Source(name, True, "proposed", _PROPOSED, {}) for name in said.sources] if said else [],
        score=_score(said) if said else None,
        moved_by_diversity=said.moved_by if said else None,
    )


def _score(said: Explanation) -> dict[str, Any]:
    known = said.as_dict()
    return {part: known[part] for part in _SCORE}


def _unranked(viewer: str, post: str, now: datetime) -> tuple[Facts, Verdict] | None:
    """None: ClickHouse knows no such post."""
    deadline = Deadline(settings.CLICKHOUSE_DEADLINE)
    facts = _facts(viewer, post, now, deadline)
    if facts is None:
        return None
    verdict = refused(facts, viewer)
    if verdict is not None:
        return facts, verdict
    people = _people(post, now, deadline)
    # Has a deadline of its own.
    gathered = candidates.gather(viewer, now)
    ranking = rank(
        gathered.candidates,
        counts=gathered.counts,
        interactions=gathered.interactions,
        weights=building.weights_of(viewer, building.CH, now),
        now=now,
        limit=len(gathered.candidates),
    )
    facts = _complete(facts, gathered, people)
    limits = Limits(
        settings.FOLLOWEE_HOURS,
        settings.AFFINITY_POST_HOURS,
        settings.AFFINITY_AUTHORS,
        settings.TRENDING_FLOOR_USERS,
        settings.SNAPSHOT_POSTS,
    )
    return facts, decide(post, facts, candidates=gathered.candidates, ranking=ranking, limits=limits, now=now)


def _facts(viewer: str, post: str, now: datetime, deadline: Deadline) -> Facts | None:
    parameters = {"viewer": viewer, "post": post, "seen_after": candidates.seen_after(now)}
    rows = clickhouse.query(queries.sql("why"), parameters, timeout=deadline.left())
    if not rows:
        return None
    author, created_at, deleted, seen, followed, blocked, muted = rows[0]
    return Facts(str(author), created_at, bool(deleted), bool(seen), bool(followed), bool(blocked), bool(muted))


def _people(post: str, now: datetime, deadline: Deadline) -> int:
    parameters = {
        "post": post,
        "now": queries.moment(now),
        "after": queries.moment(now - trending.WINDOWS["24h"]),
    }
    return int(clickhouse.query(queries.sql("why_people"), parameters, timeout=deadline.left())[0][0])


def _complete(facts: Facts, gathered: Gathered, people: int) -> Facts:
    interactions = gathered.interactions.get(facts.author_id, 0)
    order = candidates.by_closeness(gathered.interactions, gathered.hidden)
    closer = order.index(facts.author_id) if facts.author_id in order else len(order)
    return replace(facts, interactions=interactions, closer=closer, people=people)


def _by_truth(viewer: str, post: str) -> tuple[Post, Verdict | None]:
    """The post by PostgreSQL, and the rule that keeps it out. Raises `NoSuchPost`."""
    member, identifier = UUID(viewer), UUID(post)
    row = selectors.posts_by_ids([identifier]).get(identifier)
    if row is None:
        raise NoSuchPost
    if row.author_id == member:
        return row, Verdict("own_post")
    if row.author_id in selectors.hidden_authors(member):
        blocked = selectors.blocked_between(member, row.author_id)
        return row, Verdict("not_available") if blocked else Verdict("muted", changes=["unmute_author"])
    return row, None


def _unheard_of(viewer: str, post: str) -> Verdict:
    """For a post that ClickHouse does not know: of the last second, or as long as change data capture stands still."""
    row, verdict = _by_truth(viewer, post)
    if verdict is not None:
        return verdict
    followed = row.author_id in selectors.followees_of(UUID(viewer))
    return Verdict("too_new", changes=["wait" if followed else "follow_author"])


def _not_in_time(viewer: str, post: str, feed: Slice) -> Verdict:
    """For a feed in order of time, which knows fewer rules; all of it from PostgreSQL."""
    row, verdict = _by_truth(viewer, post)
    if verdict is not None:
        return verdict
    first = feed.entries[0].why if feed.entries else None
    of_followees = first is not None and FOLLOWEES in first.sources
    if of_followees and row.author_id not in selectors.followees_of(UUID(viewer)):
        return Verdict("not_followed", changes=["follow_author"])
    if row.created_at.timestamp() > feed.about.started or feed.length < settings.SNAPSHOT_POSTS:
        # In a feed with room left it would be, had it been known.
        return Verdict("next_snapshot", changes=["wait"])
    last = feed.entries[-1] if feed.entries else None
    threshold = Threshold(last.id, None, last.created_at) if last else None
    return Verdict("below_cut", threshold=threshold)
