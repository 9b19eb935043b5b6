"""From what the sources propose to the order of a feed: merge, score, one post per content, diversity. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ranking.diversity import diversify
from ranking.scoring import Counts, Score, Weights, score

_NONE = Counts()


class Post(NamedTuple):
    """A post as a source found it. id, author_id: UUIDs as text; media: a JSON list as text; content_key: 0 for none;
    seen: the viewer has seen it lately."""

    id: str
    author_id: str
    created_at: datetime
    text: str
    media: str
    content_key: int
    seen: bool


class Candidate(NamedTuple):
    """A post and every source that proposed it, in the order of the sources."""

    post: Post
    sources: tuple[str, ...]


class Ranked(NamedTuple):
    """A post in its place. moved_by: how many places diversity moved it down (negative: up, into a gap)."""

    post: Post
    sources: tuple[str, ...]
    counts: Counts
    interactions: int
    score: Score
    moved_by: int = 0


def merge(proposals: Mapping[str, Iterable[Post]]) -> list[Candidate]:
    """One candidate per post, whatever number of sources proposed it. proposals: source → its posts."""
    found: dict[str, Candidate] = {}
    for source, proposed in proposals.items():
        alone = (source,)
        for post in proposed:
            before = found.get(post.id)
            if before is None:
                found[post.id] = Candidate(post, alone)
            elif source not in before.sources:
                found[post.id] = Candidate(before.post, before.sources + alone)
    return list(found.values())


def rank(
    candidates: Iterable[Candidate],
    *,
    counts: Mapping[str, Counts],
    interactions: Mapping[str, int],
    weights: Weights,
    now: datetime,
    limit: int,
) -> list[Ranked]:
    """The `limit` best candidates in the order of the feed: what the viewer has not seen, then what they have.

    counts: by post id; interactions: by author id. Whatever is absent is zero.
    """
    scored: list[tuple[float, datetime, str, Ranked]] = []
    for post, sources in candidates:
        counted, known = counts.get(post.id, _NONE), interactions.get(post.author_id, 0)
        age = (now - post.created_at).total_seconds() / 3600
        earned = score(weights, age_hours=age, counts=counted, interactions=known)
        scored.append((earned.final, post.created_at, post.id, Ranked(post, sources, counted, known, earned)))
    # Ids differ: what comes after them is never compared.
    scored.sort(reverse=True)
    unseen: list[Ranked] = []
    seen: list[Ranked] = []
    for item in one_per_content(ranked for _, _, _, ranked in scored):
        (seen if item.post.seen else unseen).append(item)
    fresh = _spread(unseen[:limit], ())
    return fresh + _spread(seen[: limit - len(fresh)], fresh)


def one_per_content(items: Iterable[Ranked]) -> list[Ranked]:
    """The first of all posts that say the same; a post without content is nobody's duplicate."""
    known: set[int] = set()
    kept: list[Ranked] = []
    for item in items:
        key = item.post.content_key
        if key and key in known:
            continue
        known.add(key)
        kept.append(item)
    return kept


def _spread(items: Sequence[Ranked], before: Sequence[Ranked]) -> list[Ranked]:
    order = diversify([item.post.author_id for item in items], [item.post.author_id for item in before])
    return [Ranked(*items[index][:-1], place - index) for place, index in enumerate(order)]
