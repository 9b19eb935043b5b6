"""From the newest posts of some authors to what two of the sources propose: the unseen first. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import compress
from typing import NamedTuple

from ranking.merge import Post

FOLLOWEES = "followees"
TRENDING = "trending"
AFFINITY = "affinity"
# Only when the three sources have nothing at all: no page is empty while posts exist.
NEWEST = "newest"


class Found(NamedTuple):
    """A post, and whether each of the two sources may propose it."""

    post: Post
    of_followee: bool
    of_closest: bool


class Cut(NamedTuple):
    """The posts of each source, best first. exact: no post that was not read could stand among them."""

    followees: list[Post]
    closest: list[Post]
    exact: bool


def cut(found: Sequence[Found], seen: Collection[str], *, cap: int, copies: int, reach: int) -> Cut:
    """At most `cap` posts for each source: what the viewer has not seen, then what they have, each newest first. Of
    posts that say the same, `copies` compete in each.

    found: newest first; of those of one source, of the other, and of both, the newest `reach` each. seen: ids.
    """
    ordered = _unseen_first(found, seen)
    followees = _best((one.post for one in ordered if one.of_followee), cap, copies)
    closest = _best((one.post for one in ordered if one.of_closest), cap, copies)
    exact = True
    for sources, count in Counter((one.of_followee, one.of_closest) for one in found).items():
        if count >= reach:
            *_, oldest = (one.post.created_at for one in found if one[1:] == sources)
            exact = exact and all(_is_full(posts, cap, oldest) for posts in compress((followees, closest), sources))
    return Cut(followees, closest, exact)


def _best(posts: Iterable[Post], cap: int, copies: int) -> list[Post]:
    said: Counter[int] = Counter()
    best: list[Post] = []
    for post in posts:
        if len(best) == cap:
            break
        if not post.content_key or said[post.content_key] < copies:
            said[post.content_key] += 1
            best.append(post)
    return best


def _unseen_first(found: Iterable[Found], seen: Collection[str]) -> list[Found]:
    """In the same order otherwise; what the viewer has seen is marked."""
    parts: tuple[list[Found], list[Found]] = [], []
    for one in found:
        parts[one.post.id in seen].append(one)
    return parts[False] + [one._replace(post=one.post._replace(seen=True)) for one in parts[True]]


def _is_full(posts: Sequence[Post], cap: int, before: datetime) -> bool:
    """Whether a post older than `before` comes after all of these."""
    return len(posts) == cap and not posts[-1].seen and posts[-1].created_at > before
