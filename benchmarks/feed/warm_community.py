"""The community of the warmer's load test: members, follows, posts and a past in the stores; posts that go on."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from benchmarks.ingest.bench import Bench, wait_until
from community.ids import id_at

MEMBERS, ACTIVE, FOLLOWS, POSTS_EACH = 3000, 300, 40, 8
# So a feed is invalidated by a followee's post every 170 s on average.
POSTS_PER_SECOND, LIKES_PER_SECOND = 0.44, 1.0
_PAST_ACTIVE, _PAST_OTHER = 60, 2
_ACTIONS = (("impression", 20), ("view", 4), ("click", 2), ("like", 2), ("comment", 1), ("share", 1))
_COUNTED = {"like", "comment"}


@dataclass(frozen=True)
class Community:
    """members: ids, the `ACTIVE` ones first; posts: (id, author)."""

    members: list[UUID]
    posts: list[tuple[UUID, UUID]]
    chance: random.Random

    @property
    def active(self) -> list[UUID]:
        return self.members[:ACTIVE]

    @property
    def others(self) -> list[UUID]:
        return self.members[ACTIVE:]


def make(bench: Bench) -> Community:
    """Members, follows and posts of the last three days in PostgreSQL."""
    chance = random.Random(7)
    now = datetime.now(UTC)
    with bench.postgres() as connection, connection.cursor() as cursor:
        rows = cursor.execute(
            "INSERT INTO users (username, display_name, password, is_superuser, first_name, last_name, email, is_staff,"
            " is_active, date_joined) SELECT %s || n, 'Member ' || n, '!', false, '', '', '', false, true, now()"
            " FROM generate_series(1, %s) AS n RETURNING id",
            (f"warm-{uuid4().hex[:8]}-", MEMBERS),
        ).fetchall()
        members = [row[0] for row in rows]
        with cursor.copy("COPY follows (follower_id, followee_id) FROM STDIN") as copy:
            for member in members:
                for other in chance.sample(members, FOLLOWS + 1):
                    if other != member:
                        copy.write_row((member, other))
        posts = []
        with cursor.copy("COPY posts (id, author_id, text, media, created_at) FROM STDIN") as copy:
            for _ in range(MEMBERS * POSTS_EACH):
                author = chance.choice(members)
                created = now - timedelta(hours=chance.uniform(0.1, 70))
                post = id_at(created, chance.getrandbits(74))
                copy.write_row((post, author, _text(chance), "[]", created))
                posts.append((post, author))
    return Community(members, posts, chance)


def give_past(bench: Bench, database: str, community: Community) -> None:
    """What members did in the last hours, straight into ClickHouse: it decides who is active, and what is hot."""
    now, chance = datetime.now(UTC), community.chance
    kinds, shares = zip(*_ACTIONS, strict=True)
    rows: list[tuple[Any, ...]] = []
    for at, member in enumerate(community.members):
        for action in chance.choices(kinds, shares, k=_PAST_ACTIVE if at < ACTIVE else _PAST_OTHER):
            # A few posts are hot, most are not.
            post, author = community.posts[int(chance.random() ** 3 * len(community.posts))]
            moment = now - timedelta(hours=chance.uniform(0.1, 5.5))
            source = "table" if action in _COUNTED else "client"
            rows.append((uuid4(), moment, member, post, author, action, source, chance.randrange(1500), "ios", "1"))
    bench.clickhouse(database).execute(
        "INSERT INTO events (event_id, event_time, user_id, post_id, author_id, action, source, dwell_ms, device,"
        " app_ver) VALUES",
        rows,
    )


def wait_for_copies(bench: Bench, database: str, community: Community) -> None:
    """Until change data capture has brought the community to ClickHouse. Raises TimeoutError."""
    client = bench.clickhouse(database)
    with bench.postgres() as connection:
        for table, column in (("follows", "follower_id"), ("posts", "author_id")):
            query = f"SELECT count(*) FROM {table} WHERE {column} = ANY(%s)"
            (count,) = connection.execute(query, (community.members,)).fetchone() or (0,)
            copied = f"SELECT count() FROM {table}_cdc FINAL WHERE {column} IN %(members)s"

            def there(copied: str = copied, count: int = count) -> bool:
                return int(client.execute(copied, {"members": tuple(community.members)})[0][0]) >= count

            wait_until(there, f"{table} in ClickHouse")


@contextmanager
def going_on(bench: Bench, community: Community) -> Iterator[None]:
    """Members post and like while the block goes on."""
    ending = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(bench, community, ending, act, pace), daemon=True)
        for act, pace in ((_post, POSTS_PER_SECOND), (_like, LIKES_PER_SECOND))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(30)


def _repeat(bench: Bench, community: Community, ending: threading.Event, act: Any, pace: float) -> None:
    chance = random.Random(11)
    with bench.postgres() as connection:
        while not ending.wait(chance.expovariate(pace)):
            act(connection, community, chance)


def _post(connection: Any, community: Community, chance: random.Random) -> None:
    author = chance.choice(community.members)
    connection.execute("INSERT INTO posts (author_id, text) VALUES (%s, %s)", (author, _text(chance)))


def _like(connection: Any, community: Community, chance: random.Random) -> None:
    connection.execute(
        "INSERT INTO likes (user_id, post_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (chance.choice(community.members), chance.choice(community.posts)[0]),
    )


def _text(chance: random.Random) -> str:
    return f"{' '.join(chance.choices(('rain', 'bread', 'hills', 'music', 'trains', 'sea', 'books'), k=12))} {uuid4()}"
