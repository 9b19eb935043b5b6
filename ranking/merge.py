"""From what the sources propose to the order of a feed: merge, score, one post per content, diversity. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ranking.diversity import diversify
from ranking.scoring import Counts, Weights, age_hours, final

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
    """A post in its place. final: its score; moved_by: how many places diversity moved it down (negative: up, into a
    gap)."""

    post: Post
    sources: tuple[str, ...]
    counts: Counts
    interactions: int
    final: float
    moved_by: int = 0


# Score, time and id, which decide the order (ids differ: what comes after them is never compared), the candidate, its
# counts and the interactions. Bare, since there are twice as many as a feed holds.
_Scored = tuple[float, datetime, str, Candidate, Counts, int]


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
    scored: list[_Scored] = []
    for candidate in candidates:
        post = candidate.post
        counted, known = counts.get(post.id, _NONE), interactions.get(post.author_id, 0)
        earned = final(weights, age_hours(post.created_at, now), counted, known)
        scored.append((earned, post.created_at, post.id, candidate, counted, known))
    scored.sort(reverse=True)
    unseen: list[_Scored] = []
    seen: list[_Scored] = []
    for one in _one_per_content(scored):
        (seen if one[3].post.seen else unseen).append(one)
        if len(unseen) == limit:
            break
    fresh = _spread(unseen, ())
    return fresh + _spread(seen[: limit - len(fresh)], fresh)


def _one_per_content(scored: Iterable[_Scored]) -> Iterator[_Scored]:
    """The first of all posts that say the same; a post without content is nobody's duplicate."""
    said: set[int] = set()
    for one in scored:
        key = one[3].post.content_key
        if key in said:
            continue
        if key:
            said.add(key)
        yield one


def _spread(scored: Sequence[_Scored], before: Sequence[Ranked]) -> list[Ranked]:
    order = diversify([one[3].post.author_id for one in scored], [item.post.author_id for item in before])
    spread = []
    for place, index in enumerate(order):
        earned, _, _, (post, sources), counted, known = scored[index]
        spread.append(Ranked(post, sources, counted, known, earned, place - index))
    return spread
