"""A community as large as is asked for, made inside ClickHouse: nothing travels, and the views work as they always do.

Members follow popular ones more than others. Posts come evenly over 29 days. What happens to a post happens mostly in
its first days, to few posts much more than to most. All of it is a function of numbers: every run has the same.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import psycopg
from clickhouse_driver import Client

from benchmarks.ingest.bench import Bench, wait_until

DAYS = 29
_SPAN = DAYS * 86_400_000_000
_BEGINNING = f"now64(6, 'UTC') - INTERVAL {DAYS} DAY"
_CHUNK = 5_000_000
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Size:
    """How large a community is."""

    users: int = 50_000
    posts: int = 1_000_000
    follows: int = 5_000_000


def _user(number: str) -> str:
    """The id of a member, by an expression for their number."""
    return f"reinterpretAsUUID(sipHash128('member', toUInt64({number})))"


def _chance(number: str, salt: str) -> str:
    """An expression between 0 and 1 that only depends on a number."""
    return f"(sipHash64('{salt}', {number}) / 18446744073709551616.)"


class World:
    """The community in the stack's own database. `events` counts those it has."""

    def __init__(self, bench: Bench, size: Size) -> None:
        self.size, self._bench, self.events = size, bench, 0
        self.database = bench.env["CLICKHOUSE_URL"].split("?")[0].rsplit("/", 1)[1]
        self._stages = 0

    def client(self) -> Client:
        return self._bench.clickhouse(self.database)

    def people(self) -> None:
        """Members (in PostgreSQL too, where their names are read), posts and follows."""
        size = self.size
        with closing(self._bench.postgres()) as postgres:
            _members(postgres, self.users(size.users))
        client = self.client()
        client.execute(
            "CREATE TABLE bench_posts (n UInt32, id UUID, author_id UUID, created_at DateTime64(6, 'UTC'))"
            " ENGINE = Join(ANY, LEFT, n)"
        )
        time = "lower(leftPad(hex(toUInt64(toUnixTimestamp64Milli(at))), 12, '0'))"
        noise = "lower(leftPad(hex(sipHash64('post', number)), 16, '0'))"
        uuid = (
            f"toUUID(concat(substr({time}, 1, 8), '-', substr({time}, 9), '-7', substr({noise}, 1, 3),"
            f" '-8', substr({noise}, 4, 3), '-', substr({noise}, 5, 12)))"
        )
        author = f"floor(pow({_chance('number', 'author')}, 1.5) * {size.users})"
        at = f"{_BEGINNING} + toIntervalMicrosecond(toInt64(number * {_SPAN / size.posts}))"
        client.execute(
            f"INSERT INTO bench_posts SELECT number, {uuid}, {_user(author)}, at"
            f" FROM (SELECT number, {at} AS at FROM numbers({size.posts}))"
        )
        client.execute(
            "INSERT INTO posts_cdc SELECT id, author_id,"
            " concat('The ', n, 'th thing that somebody said, at some length: ', hex(sipHash128(n))), '[]',"
            " sipHash64('content', n), created_at, created_at, 1, 0 FROM bench_posts"
        )
        follower = _user(f"number % {size.users}")
        followee = _user(f"floor(pow({_chance('number', 'followee')}, 2) * {size.users})")
        client.execute(
            f"INSERT INTO follows_cdc SELECT {follower} AS follower, {followee} AS followee,"
            f" reinterpretAsUUID(sipHash128('follow', number)), now64(6, 'UTC'), 1, 0 FROM numbers({size.follows})"
            " WHERE follower != followee"
        )

    def grow(self, events: int, tell: Tell) -> None:
        """Have `events` events in all, each stage spread over all the days; the views work for every one."""
        wanted, self._stages = events - self.events, self._stages + 1
        client = self.client()
        done = 0
        while done < wanted:
            step = min(_CHUNK, wanted - done)
            client.execute(self._insert(done, step, wanted), settings={"max_insert_threads": 1, "max_threads": 2})
            done += step
            self.events += step
            tell(done)

    def _insert(self, first: int, count: int, of: int) -> str:
        size, key = self.size, f"number + {self._stages * 1_000_000_000}"
        # How far through the days it happens; to a post of the days before, the lucky ones among 64 most of all.
        share = f"(number / {of})"
        back = f"-log(1 - {_chance(key, 'age')}) * {1.2 * size.posts / DAYS}"
        near = f"greatest(0, toInt64({share} * {size.posts} - ({back})) - 1)"
        post = f"intDiv({near}, 64) * 64 + toInt64(pow({_chance(key, 'luck')}, 3) * 64)"
        user = _user(f"floor(pow({_chance(key, 'user')}, 1.3) * {size.users})")
        of_post = f"joinGet('{self.database}.bench_posts', '{{}}', post)"
        return f"""
            INSERT INTO events
            SELECT reinterpretAsUUID(sipHash128('event', key)), at, user, {of_post.format("id")},
                {of_post.format("author_id")}, action, if(action IN ('like', 'comment'), 'table', 'client'),
                if(action = 'impression', toUInt32(pow(kind, 4) * 5000), 0), 'ios', '1.0', 'bench', 0, key
            FROM (
                SELECT {key} AS key, {_chance(key, "action")} AS kind,
                    multiIf(kind < 0.72, 'impression', kind < 0.86, 'view', kind < 0.93, 'click', kind < 0.97, 'like',
                        kind < 0.985, 'comment', 'share') AS action,
                    {_BEGINNING} + toIntervalMicrosecond(toInt64({share} * {_SPAN})) AS at,
                    {user} AS user, toUInt32(least({size.posts - 1}, {post})) AS post
                FROM numbers({first}, {count})
            )"""

    def settle(self, seconds: float = 20) -> None:
        """Have the days that are over in one part each, as the server has them within the hour by itself
        (min_age_to_force_merge_seconds), and wait until it has nothing to merge, at most so long."""
        client = self.client()
        partitions = client.execute(
            "SELECT DISTINCT table, partition_id FROM system.parts WHERE active AND database = currentDatabase()"
            " AND table IN ('seen_posts', 'user_author_90d') ORDER BY table, partition_id"
        )
        newest = dict(partitions)
        for table, partition in partitions:
            if partition != newest[table]:
                client.execute(f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL")
        try:
            wait_until(lambda: not client.execute("SELECT count() FROM system.merges")[0][0], "no merges", seconds)
        except TimeoutError:
            return

    def users(self, count: int, first: int = 0) -> list[str]:
        """The ids of members by number; who has a lower one does more."""
        rows = self.client().execute(f"SELECT {_user('number')} FROM numbers({first}, {count})")
        return [str(row[0]) for row in rows]

    def rows(self) -> dict[str, int]:
        """How many rows each table has now."""
        found: Iterator[tuple[str, int]] = self.client().execute(
            "SELECT table, sum(rows) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table"
            " ORDER BY table"
        )
        return dict(found)


def _members(postgres: "psycopg.Connection[object]", ids: list[str]) -> None:
    with (
        postgres.cursor() as cursor,
        cursor.copy(
            "COPY users (id, username, display_name, password, is_superuser, first_name, last_name, email, is_staff,"
            " is_active, date_joined) FROM STDIN"
        ) as copy,
    ):
        for number, identifier in enumerate(ids):
            name = f"member{number}"
            copy.write_row(
                (
                    UUID(identifier),
                    name,
                    f"Member {number}",
                    "!",
                    False,
                    "",
                    "",
                    "",
                    False,
                    True,
                    "2026-01-01T00:00:00Z",
                )
            )
