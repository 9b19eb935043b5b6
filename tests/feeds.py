"""A ClickHouse of a test's own, filled by hand: what ranking reads, without the consumers that usually write it."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from uuid_utils import uuid7

from community.models import Post
from nova import clickhouse, clock, generations, redis
from nova.content import content_key
from ranking import pipeline, snapshot


def member() -> UUID:
    return UUID(str(uuid7()))


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


class Feeds:
    """Rows as the consumers would have written them, times in hours before `now`."""

    def __init__(self) -> None:
        self.now = clock.now()
        self.rows: dict[UUID, dict[str, Any]] = {}

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        data = b"\n".join(json.dumps(row, default=str).encode() for row in rows)
        clickhouse.insert_bytes(table, list(rows[0]), data, fmt="JSONEachRow", token=uuid4().hex)

    def post(
        self, author: UUID, *, hours_ago: float = 1, text: str | None = None, media: list[Any] | None = None
    ) -> UUID:
        """A post with a text of its own unless one is given."""
        return self.posts(author, hours_ago=[hours_ago], text=text, media=media)[0]

    def posts(
        self,
        author: UUID,
        *,
        hours_ago: list[float],
        text: str | None = None,
        media: list[Any] | None = None,
        by_client: bool = False,
    ) -> list[UUID]:
        """by_client: their ids are a client's choice, which says nothing of their time."""
        rows = []
        for hours in hours_ago:
            created = self.now - timedelta(hours=hours)
            words = text if text is not None else f"no other says {uuid4().hex}"
            rows.append(
                {
                    "id": uuid4() if by_client else UUID(str(uuid7(nanoseconds=int(created.timestamp() * 1e6) * 1000))),
                    "author_id": author,
                    "text": words,
                    "media": json.dumps(media or []),
                    "content_key": content_key(words, media or []),
                    "created_at": _text(created),
                    "updated_at": _text(created),
                    "version": 1,
                    "is_deleted": 0,
                }
            )
        self.insert("posts_cdc", *rows)
        self.rows.update({row["id"]: row for row in rows})
        return [row["id"] for row in rows]

    def store(self, *posts: UUID) -> None:
        """The same posts in PostgreSQL too, whose authors must be members there."""
        for post in posts:
            row = self.rows[post]
            Post.objects.create(id=post, author_id=row["author_id"], text=row["text"], media=json.loads(row["media"]))

    def delete(self, post: UUID) -> None:
        self.insert("posts_cdc", self.rows[post] | {"version": 2, "is_deleted": 1})

    def follow(self, follower: UUID, *followees: UUID, gone: bool = False) -> None:
        """gone: the follow has ended."""
        rows = [
            {
                "follower_id": follower,
                "followee_id": followee,
                "id": uuid4(),
                "created_at": _text(self.now),
                "version": 2 if gone else 1,
                "is_deleted": int(gone),
            }
            for followee in followees
        ]
        self.insert("follows_cdc", *rows)

    def hide(self, blocker: UUID, blocked: UUID, kind: str, gone: bool = False) -> None:
        """gone: the block or mute has ended."""
        row = {"blocker_id": blocker, "blocked_id": blocked, "kind": kind, "id": uuid4(), "created_at": _text(self.now)}
        self.insert("blocks_cdc", row | {"version": 2 if gone else 1, "is_deleted": int(gone)})

    def act(self, user: UUID, post: UUID, action: str, *, times: int = 1, **fields: Any) -> None:
        """What `user` did with a post, as stored events. fields: of `_event`."""
        self.insert("events", *(self._event(user, post, action, **fields) for _ in range(times)))

    def _event(
        self,
        user: UUID,
        post: UUID,
        action: str,
        *,
        author: UUID | None = None,
        hours_ago: float = 0,
        source: str | None = None,
        dwell_ms: int = 0,
    ) -> dict[str, Any]:
        told = "table" if action in {"like", "unlike", "comment", "uncomment"} else "client"
        return {
            "event_id": uuid4(),
            "event_time": _text(self.now - timedelta(hours=hours_ago)),
            "user_id": user,
            "post_id": post,
            "author_id": author or self.rows[post]["author_id"],
            "action": action,
            "source": source or told,
            "dwell_ms": dwell_ms,
            "device": "web",
            "app_ver": "1",
        }

    def make_trend(self, *posts: UUID, people: int = 3, action: str = "like", **fields: Any) -> None:
        """So many members' reactions to each of the posts."""
        events = [self._event(uuid4(), post, action, **fields) for post in posts for _ in range(people)]
        self.insert("events", *events)


def invalidate(viewer: UUID) -> None:
    """As ingestion does when something changes the viewer's feed."""
    generations.bump([viewer])


def ids(page: pipeline.Page) -> list[str]:
    """Of the posts, in their order."""
    return [post["id"] for post in page.posts]


def lose(viewer: UUID, name: str) -> None:
    """What the hard TTL does to a snapshot."""
    key = snapshot.key(str(viewer), name)
    redis.cache().delete(key, f"{key}:inputs", snapshot.pointer(str(viewer), "ch"))
