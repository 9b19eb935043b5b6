"""A feed without ClickHouse: the newest posts of whom the viewer follows, from PostgreSQL, in order of time."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from django.conf import settings
from django.db import DatabaseError

from community import selectors
from community.models import Post as Row
from ranking import entries, seen
from ranking.entries import Entry
from ranking.merge import Post
from ranking.scoring import Counts
from ranking.sources import FOLLOWEES, NEWEST

log = logging.getLogger(__name__)

_EVER = timedelta(days=3650)


def newest(viewer: str, now: datetime, until: datetime | None = None) -> list[Entry]:
    """At most `SNAPSHOT_POSTS` posts, the unseen first, each part newest first, made `until` then if it is given. Same
    shape as a ranked feed.

    Who follows nobody, or only silent members, gets the newest posts of all. Own posts and those of hidden authors are
    not among them. Raises `django.db.DatabaseError` when PostgreSQL does not answer.
    """
    member = UUID(viewer)
    hidden = selectors.hidden_authors(member) | {member}
    known = seen.lately(viewer, now)
    # Enough that what is seen can go to the end without leaving the feed short. The intake bounds what is known.
    reach = settings.SNAPSHOT_POSTS + len(known)
    followees = [author for author in selectors.followees_of(member) if author not in hidden]
    rows, source = _of_followees(followees, now, reach, until), FOLLOWEES
    if not rows:
        rows, source = selectors.recent_posts(now - _EVER, reach, hidden, until), NEWEST
    posts = [_post(row, str(row.id) in known) for row in rows]
    posts.sort(key=lambda post: (not post.seen, post.created_at, post.id), reverse=True)
    posts = posts[: settings.SNAPSHOT_POSTS]
    return entries.by_time(posts, source, _counts([UUID(post.id) for post in posts]), now)


def _of_followees(followees: Sequence[UUID], now: datetime, limit: int, until: datetime | None) -> list[Row]:
    return selectors.recent_posts_of(followees, now - _EVER, limit, until) if followees else []


def _counts(ids: Collection[UUID]) -> dict[str, Counts]:
    """Nothing when they cannot be counted in time, as those of posts that millions like: no reason to have no feed."""
    try:
        counted = selectors.reaction_counts(ids)
    except DatabaseError as error:
        log.warning("a feed in order of time goes without counts: %s", error)
        return {}
    return {str(post): Counts(likes=likes, comments=comments) for post, (likes, comments) in counted.items()}


def _post(row: Row, is_seen: bool) -> Post:
    return Post(str(row.id), str(row.author_id), row.created_at, row.text, orjson.dumps(row.media).decode(), 0, is_seen)
