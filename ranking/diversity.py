"""Author diversity: nobody fills a feed, and nothing is lost by it.

An author holds at most one of the first five places, and two posts of one author are at least three places apart. A
post that breaks the rule moves down to the first place where it fits; when no other author is left, the distance
shrinks.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Sequence
from heapq import heapify, heappop, heappush

FIRST_PLACES = 5
DISTANCE = 3


def diversify(authors: Sequence[Hashable], placed: Sequence[Hashable] = ()) -> list[int]:
    """The order in which to show posts whose authors, best post first, are `authors`: indices into `authors`.

    placed: the authors of posts that already stand before these. Same input, same order; O(n log n).
    """
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for index, author in enumerate(authors):
        waiting[author].append(index)
    # The best waiting post of each author, the best of all on top.
    best = [posts[0] for posts in waiting.values()]
    heapify(best)
    shown = list(placed)
    order: list[int] = []
    while best:
        index = _take(best, authors, shown)
        author = authors[index]
        waiting[author].popleft()
        if waiting[author]:
            heappush(best, waiting[author][0])
        shown.append(author)
        order.append(index)
    return order


def _take(best: list[int], authors: Sequence[Hashable], shown: list[Hashable]) -> int:
    """Pop the best post that the strictest rule which still leaves one allows."""
    if len(shown) < FIRST_PLACES and (index := _pop_other(best, authors, shown)) is not None:
        return index
    for distance in range(DISTANCE, 1, -1):
        if (index := _pop_other(best, authors, shown[-(distance - 1) :])) is not None:
            return index
    return heappop(best)


def _pop_other(best: list[int], authors: Sequence[Hashable], banned: Collection[Hashable]) -> int | None:
    """Pop the best post by none of the `banned` authors; None when there is none. `banned` is short."""
    aside: list[int] = []
    found: int | None = None
    while best:
        index = heappop(best)
        if authors[index] not in banned:
            found = index
            break
        aside.append(index)
    for index in aside:
        heappush(best, index)
    return found
