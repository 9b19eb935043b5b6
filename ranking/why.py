"""Why a post is in a viewer's feed, or is not, and what would have to change: decided from facts alone. Pure.

Each answer has a code for programs and a sentence for people. Who blocked whom is never told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ranking.merge import Candidate, Ranked
from ranking.scoring import age_hours
from ranking.sources import AFFINITY, FOLLOWEES, NEWEST, TRENDING

# Where a post stands. The first one is in the feed, the others are not.
IN_FEED = "in_feed"
SENTENCES = {
    IN_FEED: "The post is in the feed.",
    "deleted": "The post was deleted.",
    "own_post": "It is the viewer's own post; a feed holds posts of others.",
    "not_available": "The post is not available to this viewer.",
    "muted": "The viewer has muted the author.",
    "too_old": "The post is older than every source looks back.",
    "too_new": "The post is so new that the ranking has not heard of it yet.",
    "no_source": "No source proposes the post.",
    "duplicate": "Another post with the same content ranks higher and stands for both.",
    "below_cut": "Enough other posts rank higher: the post is below the end of the feed.",
    "next_snapshot": "The feed was made before this could be known; the next one will hold the post.",
    "not_followed": "The feed is in order of time, and holds posts of followed authors only.",
}
CHANGES = {
    "follow_author": "Follow the author.",
    "unmute_author": "Unmute the author.",
    "react_to_author": "Like, comment on or share more of the author's posts.",
    "more_people": "More members react to the post.",
    "higher_score": "Its score passes the threshold: by more reactions to it, or more of the viewer to its author.",
    "wait": "Wait until the feed is made anew.",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the rules: windows in hours, lengths in posts or authors, the floor in members."""

    followee_hours: int
    affinity_hours: int
    affinity_authors: int
    trending_floor: int
    feed: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a post and a viewer. interactions: of the viewer with the author; closer: authors that the
    viewer is closer to; people: distinct members who reacted lately."""

    author_id: str
    created_at: datetime
    deleted: bool
    seen: bool
    followed: bool
    blocked: bool
    muted: bool
    interactions: int = 0
    closer: int = 0
    people: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Whether one source proposes the post, and why not. inputs: the numbers that decided."""

    source: str
    proposes: bool
    code: str
    message: str
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """The post that would have to be outdone: of those in the feed the last by score, or the one with the same content.
    final: its score; None in order of time, where `created_at` decides."""

    post: str
    final: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. place: from 1, in the present feed; of: how many posts that has; rank: by score among all candidates,
    before diversity; score: its parts with their inputs and weights; duplicate_of: the post shown instead; threshold:
    {post, final, created_at (RFC 3339)} of the post to outdo. Whatever is not known, or not to be told, is None."""

    post: str
    in_feed: bool
    code: str
    message: str
    algorithm: str
    snapshot: str
    generated_at: str
    of: int
    place: int | None = None
    rank: int | None = None
    seen: bool | None = None
    sources: list[Source] = field(default_factory=list)
    score: dict[str, Any] | None = None
    moved_by_diversity: int | None = None
    duplicate_of: str | None = None
    threshold: dict[str, Any] | None = None
    changes: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a post is not in the feed, apart from what is known of the feed."""

    code: str
    sources: Sequence[Source] = ()
    ranked: Ranked | None = None
    rank: int | None = None
    duplicate_of: str | None = None
    threshold: Threshold | None = None
    changes: Sequence[str] = ()


def refused(facts: Facts, viewer: str) -> Verdict | None:
    """The rule that keeps the post out of every feed of this viewer. A block is told first: nothing else may be."""
    if facts.author_id == viewer:
        return Verdict("deleted" if facts.deleted else "own_post")
    if facts.blocked:
        return Verdict("not_available")
    if facts.deleted:
        return Verdict("deleted")
    if facts.muted:
        return Verdict("muted", changes=["unmute_author"])
    return None


def decide(
    post: str,
    facts: Facts,
    *,
    candidates: Sequence[Candidate],
    ranking: Sequence[Ranked],
    limits: Limits,
    now: datetime,
) -> Verdict:
    """Why a post that the viewer may see is not in the feed. candidates: what the sources propose now; ranking: all of
    them in order, nothing cut off."""
    age = age_hours(facts.created_at, now)
    mine = next((candidate for candidate in candidates if candidate.post.id == post), None)
    proposing = mine.sources if mine else ()
    sources = [
        _followees(facts, age, FOLLOWEES in proposing, limits),
        _trending(facts, TRENDING in proposing, limits),
        _affinity(facts, age, AFFINITY in proposing, limits),
    ]
    if NEWEST in proposing:
        sources.append(Source(NEWEST, True, "proposed", "No other source has anything: the newest posts stand in.", {}))
    if mine is None:
        old = age > max(limits.followee_hours, limits.affinity_hours) and not facts.people
        return Verdict("too_old" if old else "no_source", sources, changes=list(_ways_in(sources)))
    place = next((index for index, one in enumerate(ranking) if one.post.id == post), None)
    if place is None:
        winner = next(one for one in ranking if one.post.content_key == mine.post.content_key)
        return Verdict(
            "duplicate",
            sources,
            duplicate_of=winner.post.id,
            threshold=_to_outdo(winner),
            changes=["higher_score"],
        )
    ranked = ranking[place]
    rank = _rank(place, ranked)
    if rank > limits.feed:
        last = next(one for at, one in enumerate(ranking) if _rank(at, one) == limits.feed)
        # What the viewer has seen comes after all that they have not, whatever its score.
        changes = ["higher_score"] if last.post.seen == ranked.post.seen else []
        return Verdict("below_cut", sources, ranked, rank, threshold=_to_outdo(last), changes=changes)
    return Verdict("next_snapshot", sources, ranked, rank, changes=["wait"])


def _rank(place: int, ranked: Ranked) -> int:
    """Before diversity, from 1. place: in the order that diversity made, from 0."""
    return place - ranked.moved_by + 1


def _to_outdo(one: Ranked) -> Threshold:
    return Threshold(one.post.id, one.final, one.post.created_at)


def notes(codes: Sequence[str]) -> list[Note]:
    return [Note(code, CHANGES[code]) for code in codes]


def _followees(facts: Facts, age: float, proposes: bool, limits: Limits) -> Source:
    inputs = {"followed": facts.followed, "age_hours": age, "window_hours": limits.followee_hours}
    if proposes:
        code, message = "proposed", "The viewer follows the author."
    elif not facts.followed:
        code, message = "not_followed", "The viewer does not follow the author."
    elif age > limits.followee_hours:
        code, message = "too_old", f"Only posts of the last {limits.followee_hours} hours are taken from here."
    else:
        code, message = "beyond_cap", "Followed authors have enough newer posts."
    return Source(FOLLOWEES, proposes, code, message, inputs)


def _trending(facts: Facts, proposes: bool, limits: Limits) -> Source:
    inputs = {"people": facts.people, "floor": limits.trending_floor}
    if proposes:
        code, message = "proposed", "The community reacts to the post."
    elif facts.people < limits.trending_floor:
        code = "too_few_people"
        message = f"{facts.people} of the {limits.trending_floor} members needed reacted in the last 24 hours."
    else:
        code, message = "not_hot_enough", "Enough other posts are hotter, or the list was made before the reactions."
    return Source(TRENDING, proposes, code, message, inputs)


def _affinity(facts: Facts, age: float, proposes: bool, limits: Limits) -> Source:
    inputs = {
        "interactions": facts.interactions,
        "closer_authors": facts.closer,
        "authors": limits.affinity_authors,
        "age_hours": age,
        "window_hours": limits.affinity_hours,
    }
    if proposes:
        code, message = "proposed", "The author is one of those the viewer has most to do with."
    elif facts.interactions <= 0:
        code, message = "no_interactions", "The viewer has not reacted to the author's posts lately."
    elif facts.closer >= limits.affinity_authors:
        code = "not_a_top_author"
        message = f"The author is not one of the {limits.affinity_authors} the viewer has most to do with."
    elif age > limits.affinity_hours:
        code, message = "too_old", f"Only posts of the last {limits.affinity_hours} hours are taken from here."
    else:
        code, message = "beyond_cap", "The authors the viewer has most to do with have enough newer posts."
    return Source(AFFINITY, proposes, code, message, inputs)


def _ways_in(sources: Sequence[Source]) -> Iterator[str]:
    """What would make one of the sources propose the post."""
    by_name = {source.source: source for source in sources}
    inputs = by_name[FOLLOWEES].inputs
    if by_name[FOLLOWEES].code == "not_followed" and inputs["age_hours"] <= inputs["window_hours"]:
        yield "follow_author"
    inputs = by_name[AFFINITY].inputs
    if by_name[AFFINITY].code in {"no_interactions", "not_a_top_author"} and (
        inputs["age_hours"] <= inputs["window_hours"]
    ):
        yield "react_to_author"
    yield "more_people"
