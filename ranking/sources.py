"""From the newest posts of some authors to what two of the sources propose: the unseen first. Pure."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

from ranking.merge import Post

FOLLOWEES = "followees"
TRENDING = "trending"
AFFINITY = "affinity"
# Only when the three sources have nothing at all: no page is empty while posts exist.
NEWEST = "newest"


class Source(NamedTuple):
    """Whose posts a source may propose, by id of the author, and since when."""

    authors: AbstractSet[str]
    after: datetime


class Cut(NamedTuple):
    """The posts of each source, best first. exact: no post that was not read could stand among them."""

    followees: list[Post]
    closest: list[Post]
    exact: bool


def cut(posts: Sequence[Post], followees: Source, closest: Source, *, cap: int, copies: int, reach: int) -> Cut:
    """At most `cap` posts for each source: what the viewer has not seen, then what they have, each newest first. Of
    posts that say the same, `copies` compete in each.

    posts: newest first, of all that the sources may propose the newest `reach`; others among them are left out.
    """
    ordered = [post for post in posts if not post.seen] + [post for post in posts if post.seen]
    of_followees, of_closest = (
        _best((post for post in ordered if post.author_id in authors and post.created_at >= after), cap, copies)
        for authors, after in (followees, closest)
    )
    exact = len(posts) < reach or all(_is_full(best, cap, posts[-1].created_at) for best in (of_followees, of_closest))
    return Cut(of_followees, of_closest, exact)


def _best(posts: Iterable[Post], cap: int, copies: int) -> list[Post]:
    said: dict[int, int] = {}
    best: list[Post] = []
    for post in posts:
        if len(best) == cap:
            break
        content = post.content_key
        before = said.get(content, 0)
        if not content or before < copies:
            said[content] = before + 1
            best.append(post)
    return best


def _is_full(posts: Sequence[Post], cap: int, before: datetime) -> bool:
    """Whether a post older than `before` comes after all of these."""
    return len(posts) == cap and not posts[-1].seen and posts[-1].created_at > before
