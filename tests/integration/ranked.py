"""A viewer's feed as it is ranked now."""

from uuid import UUID

from ranking import pipeline
from tests.feeds import Feeds


def read(feeds: Feeds, viewer: UUID, limit: int = 100) -> list[dict]:
    """The viewer's feed, ranked anew, explained."""
    pipeline.rank(viewer, feeds.now)
    page = pipeline.page(viewer, limit=limit, explain=True, now=feeds.now)
    assert page.algorithm == "ch"
    return page.posts


def ids(feeds: Feeds, viewer: UUID) -> list[str]:
    return [post["id"] for post in read(feeds, viewer)]


def texts(*posts: UUID) -> list[str]:
    return [str(post) for post in posts]
