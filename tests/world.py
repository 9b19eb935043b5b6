"""What an integration test does to the community, and how it looks at what became of it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from community.ids import id_at
from nova import clickhouse
from tests.client import Api, event, wait_until

_EVENT_COLUMNS = (
    "event_id",
    "event_time",
    "user_id",
    "post_id",
    "author_id",
    "action",
    "source",
    "dwell_ms",
    "device",
    "app_ver",
)
_COUNTERS = ("impressions", "views", "clicks", "likes", "comments", "shares")


class World:
    """A hand in PostgreSQL (as psql would be), a REST client, and eyes in ClickHouse."""

    def __init__(self, api: Api, database_url: str) -> None:
        self.api = api
        self._url = database_url
        self._connection = psycopg.connect(database_url, autocommit=True)

    def reconnect(self) -> None:
        """After PostgreSQL was restarted."""
        self.close()
        self._connection = psycopg.connect(self._url, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    # What happens

    def sql(self, statement: str, *values: Any) -> int:
        """Run and commit one statement; how many rows it touched."""
        return self._connection.execute(statement, values).rowcount  # type: ignore[arg-type]

    def sql_one(self, statement: str, *values: Any) -> Any:
        """The first column of the one row that a statement returns."""
        row = self._connection.execute(statement, values).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]

    def sql_rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def member(self) -> UUID:
        name = f"member-{uuid4().hex[:12]}"
        return self.sql_one(
            "INSERT INTO users (username, display_name, password, is_superuser, first_name, last_name, email, is_staff,"
            " is_active, date_joined) VALUES (%s, %s, '!', false, '', '', '', false, true, now()) RETURNING id",
            name,
            name.title(),
        )

    def post(self, author: UUID, text: str | None = None, *, hours_ago: float = 0, media: str = "[]") -> UUID:
        """A post with a text of its own (equal texts would be one to the ranking), `hours_ago` old; its id."""
        created = datetime.now(UTC) - timedelta(hours=hours_ago)
        return self.sql_one(
            "INSERT INTO posts (id, author_id, text, media, created_at) VALUES (%s, %s, %s, %s, %s) RETURNING id",
            id_at(created, secrets.randbits(74)),
            author,
            text if text is not None else f"a post like no other {uuid4().hex}",
            media,
            created,
        )

    def follow(self, follower: UUID, followee: UUID) -> None:
        self.sql("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", follower, followee)

    def send_impressions(self, post: UUID, count: int) -> list[str]:
        """`count` members see the post; the ids of the events, all accepted."""
        ids = []
        for _ in range(count):
            viewer = uuid4()
            one = event(viewer, post, "impression")
            self.api.send(viewer, one)
            ids.append(one["event_id"])
        return ids

    # What became of it

    def count(self, rest: str) -> int:
        """SELECT count() FROM `rest`, in ClickHouse."""
        return int(clickhouse.query(f"SELECT count() FROM {rest}")[0][0])

    @contextmanager
    def unmerged(self, table: str) -> Iterator[None]:
        """No merge takes the older versions of a row away meanwhile."""
        clickhouse.command(f"SYSTEM STOP MERGES {table}")
        try:
            yield
        finally:
            clickhouse.command(f"SYSTEM START MERGES {table}")

    def stored_events(self, ids: list[str]) -> list[dict[str, Any]]:
        """Every stored row with one of the ids, doubles included."""
        rows = clickhouse.query(
            f"SELECT {', '.join(_EVENT_COLUMNS)} FROM events WHERE event_id IN {{ids:Array(UUID)}}", {"ids": ids}
        )
        return [dict(zip(_EVENT_COLUMNS, row, strict=True)) for row in rows]

    def counters(self, post: UUID) -> dict[str, int]:
        """The post's counters as ranking reads them."""
        sums = ", ".join(f"sum({name})" for name in _COUNTERS)
        (row,) = clickhouse.query(f"SELECT {sums} FROM post_counters WHERE post_id = {{id:UUID}}", {"id": post})
        return dict(zip(_COUNTERS, row, strict=True))

    def affinity(self, user: UUID, author: UUID) -> int:
        (row,) = clickhouse.query(
            "SELECT sum(interactions) FROM user_author_90d WHERE user_id = {user:UUID} AND author_id = {author:UUID}",
            {"user": user, "author": author},
        )
        return int(row[0])

    def feed_ids(self, member: UUID) -> list[str]:
        """The ids of the whole feed, in order, through all its pages."""
        page = self.api.feed(member)
        ids = [item["id"] for item in page["posts"]]
        while page["has_more"]:
            page = self.api.feed(member, f"limit=100&cursor={page['cursor']}")
            ids += [item["id"] for item in page["posts"]]
        return ids

    def wait_in_feed(self, member: UUID, *posts: UUID) -> None:
        wanted = set(map(str, posts))
        wait_until(lambda: wanted <= set(self.feed_ids(member)), "the posts in the feed")

    @staticmethod
    def uuid(text: str) -> UUID:
        return UUID(text)
