"""The members whose lives go on while the stack is maltreated: rows in PostgreSQL, written as any application would."""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import psycopg

_TEXTS = ("plain", 'o\'clock, "quoted"', "zwei\nZeilen", "日本語 🦉", "100% \\ tab\there", "")


class Town:
    """Members and their posts. `posts`: those that stand in PostgreSQL as far as we know, at most a few thousand."""

    def __init__(self, database_url: str, chance: Random, members: int = 200, posts: int = 300) -> None:
        self._url, self._chance = database_url, chance
        self._connection: psycopg.Connection[Any] | None = None
        self.changes = 0
        with psycopg.connect(database_url, autocommit=True) as connection:
            self.members: list[UUID] = [
                row[0]
                for row in connection.execute(
                    "INSERT INTO users (username, display_name, password, is_superuser, first_name, last_name, email,"
                    " is_staff, is_active, date_joined) SELECT 'm' || n, 'Member ' || n, '!', false, '', '', '', false,"
                    " true, now() FROM generate_series(1, %s) AS n RETURNING id",
                    (members,),
                )
            ]
            self.posts: list[UUID] = []
            for _ in range(posts):
                self._post(connection)
            for _ in range(5 * members):
                self._follow(connection)

    # One change each ----------------------------------------------------------------------------------------------

    def _post(self, to: psycopg.Connection[Any]) -> None:
        text = f"{self._chance.choice(_TEXTS)} {self._chance.random()}"
        if self._chance.random() < 0.01:
            # Stored aside (TOAST), and not sent again with a change of another column.
            text += "".join(chr(self._chance.randrange(0x4E00, 0x9FFF)) for _ in range(8000))
        row = to.execute(
            "INSERT INTO posts (author_id, text) VALUES (%s, %s) RETURNING id", (self._somebody(), text)
        ).fetchone()
        assert row is not None
        self.posts.append(row[0])

    def _edit_post(self, to: psycopg.Connection[Any]) -> None:
        column, value = self._chance.choice(
            (("text", f"edited {self._chance.random()}"), ("media", '[{"url": "x y"}]'))
        )
        to.execute(f"UPDATE posts SET {column} = %s, updated_at = now() WHERE id = %s", (value, self._some_post()))  # type: ignore[arg-type]

    def _delete_post(self, to: psycopg.Connection[Any]) -> None:
        if len(self.posts) > 100:
            post = self._some_post()
            # Another list: others are choosing from this one.
            self.posts = [one for one in self.posts if one != post]
            to.execute("DELETE FROM posts WHERE id = %s", (post,))

    def _follow(self, to: psycopg.Connection[Any]) -> None:
        pair = self._chance.sample(self.members, 2)
        to.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", pair)

    def _unfollow(self, to: psycopg.Connection[Any]) -> None:
        to.execute(_ONE_OF.format("follows", "follower_id"), (self._somebody(),))  # type: ignore[arg-type]

    def _like(self, to: psycopg.Connection[Any]) -> None:
        to.execute(
            "INSERT INTO likes (user_id, post_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (self._somebody(), self._some_post()),
        )

    def _unlike(self, to: psycopg.Connection[Any]) -> None:
        to.execute(_ONE_OF.format("likes", "user_id"), (self._somebody(),))  # type: ignore[arg-type]

    def _like_again(self, to: psycopg.Connection[Any]) -> None:
        """Back and forth in one transaction: the last word counts."""
        who, post = self._somebody(), self._some_post()
        with to.transaction():
            for _ in range(self._chance.randint(1, 3)):
                to.execute("DELETE FROM likes WHERE user_id = %s AND post_id = %s", (who, post))
                to.execute("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", (who, post))

    def _comment(self, to: psycopg.Connection[Any]) -> None:
        to.execute(
            "INSERT INTO comments (user_id, post_id, text) VALUES (%s, %s, %s)",
            (self._somebody(), self._some_post(), self._chance.choice(_TEXTS) + "!"),
        )

    def _edit_comment(self, to: psycopg.Connection[Any]) -> None:
        to.execute(
            "UPDATE comments SET text = %s, updated_at = now() WHERE id = (SELECT id FROM comments WHERE user_id = %s"
            " LIMIT 1)",
            (f"edited {self._chance.random()}", self._somebody()),
        )

    def _delete_comment(self, to: psycopg.Connection[Any]) -> None:
        to.execute(_ONE_OF.format("comments", "user_id"), (self._somebody(),))  # type: ignore[arg-type]

    def _block(self, to: psycopg.Connection[Any]) -> None:
        to.execute(
            "INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (*self._chance.sample(self.members, 2), self._chance.choice(("block", "mute"))),
        )

    def _unblock(self, to: psycopg.Connection[Any]) -> None:
        to.execute(_ONE_OF.format("blocks", "blocker_id"), (self._somebody(),))  # type: ignore[arg-type]

    def _somebody(self) -> UUID:
        return self._chance.choice(self.members)

    def _some_post(self) -> UUID:
        return self._chance.choice(self.posts)

    # Their rhythm -------------------------------------------------------------------------------------------------

    def live(self, per_second: float, end: threading.Event) -> None:
        """Make a change `per_second` times a second until `end`; a database that is away is waited for."""
        kinds: dict[Callable[[psycopg.Connection[Any]], None], int] = {
            self._post: 14,
            self._edit_post: 8,
            self._delete_post: 3,
            self._follow: 12,
            self._unfollow: 8,
            self._like: 20,
            self._unlike: 8,
            self._like_again: 3,
            self._comment: 11,
            self._edit_comment: 3,
            self._delete_comment: 4,
            self._block: 4,
            self._unblock: 2,
        }
        due = time.monotonic()
        while not end.wait(max(0.0, due - time.monotonic())):
            # What was missed is not made up for beyond a second.
            due = max(due + 1 / per_second, time.monotonic() - 1)
            try:
                (change,) = self._chance.choices(list(kinds), list(kinds.values()))
                change(self._connected())
                self.changes += 1
            except psycopg.errors.ForeignKeyViolation:
                continue
            except psycopg.Error:
                self.close()
                end.wait(0.2)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=3, options="-c statement_timeout=5000"
            )
        return self._connection

    def mark(self) -> UUID:
        """A last post: when it has arrived, so has all that was written before it."""
        with psycopg.connect(self._url, autocommit=True, connect_timeout=3) as connection:
            self._post(connection)
        return self.posts[-1]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_ONE_OF = "DELETE FROM {0} WHERE id = (SELECT id FROM {0} WHERE {1} = %s ORDER BY random() LIMIT 1)"
