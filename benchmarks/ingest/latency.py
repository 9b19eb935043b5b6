"""How soon something can be seen: a row written to PostgreSQL, an event that the API has accepted."""

import itertools
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
from clickhouse_driver import Client

from benchmarks.ingest.bench import Bench
from benchmarks.ingest.visible import Lookout
from benchmarks.ingest.web import Intake, People

CHANGES_PER_SECOND = 50
EVENTS_PER_SECOND = 1000
EVENTS_PER_REQUEST = 10
# What a deployment gets by default, and what the contestants have. Each partition's inserts are its own.
PARTITIONS = (4, 12)
# What is hoped for, p95 in ms.
LIMITS = {"change": 300, "event": 1000}
_SENDERS = 8
_WARM_UP = 5.0


def name(what: str, partitions: int) -> str:
    """Under which the delays of a change or an event stand."""
    return f"{what}, {partitions} partitions"


def limit(named: str) -> int:
    """The p95 in ms that is hoped for."""
    return LIMITS[named.split(",")[0]]


def cdc(bench: Bench, database: str, people: People, seconds: float, told: Callable[[int], None]) -> list[float]:
    """Delays (s) from the commit of an INSERT in PostgreSQL to its row in ClickHouse: posts and likes in turn."""
    lookout = Lookout(bench.clickhouse(database), _rows_seen)
    with bench.postgres() as connection:
        for number, due in enumerate(_schedule(CHANGES_PER_SECOND, seconds + _WARM_UP)):
            _sleep_until(due)
            identifier = _insert(connection, people, number)
            if number >= _WARM_UP * CHANGES_PER_SECOND:
                lookout.expect(identifier, time.monotonic())
            told(number)
    return lookout.finish()


def _insert(connection: psycopg.Connection[tuple[UUID]], people: People, number: int) -> UUID:
    if number % 2:
        author = people.members[number % len(people.members)]
        found = connection.execute(
            "INSERT INTO posts (author_id, text) VALUES (%s, %s) RETURNING id", (author, f"benchmark {number}")
        )
    else:
        # Every pair of member and post once.
        post, member = divmod(number // 2, len(people.members))
        found = connection.execute(
            "INSERT INTO likes (user_id, post_id) VALUES (%s, %s) RETURNING id",
            (people.members[member], people.posts[post]),
        )
    row = found.fetchone()
    assert row is not None
    return row[0]


def _rows_seen(client: Client, ids: Collection[UUID]) -> list[UUID]:
    # Posts are found by their key; the few likes of this run by reading all of them.
    rows = client.execute(
        "SELECT id FROM posts_cdc WHERE id IN %(ids)s UNION ALL SELECT id FROM likes_cdc WHERE id IN %(ids)s",
        {"ids": tuple(ids)},
    )
    return [identifier for (identifier,) in rows]


def events(bench: Bench, database: str, intake: Intake, seconds: float, told: Callable[[int], None]) -> list[float]:
    """Delays (s) from the answer 202 to the row in ClickHouse, of one event in each request."""
    lookout = Lookout(bench.clickhouse(database), _events_seen)
    pace = EVENTS_PER_SECOND / EVENTS_PER_REQUEST
    numbers = itertools.count(1)

    def send(due: float, counts: bool) -> None:
        _sleep_until(due)
        # Only what is looked for is a share: the table is in order of the action, so it is found by its key.
        watched = intake.people.event(uuid4(), "share")
        others = [intake.people.event(uuid4(), "impression") for _ in range(EVENTS_PER_REQUEST - 1)]
        intake.send([watched, *others])
        if counts:
            lookout.expect(UUID(watched["event_id"]), time.monotonic())
        told(next(numbers) * EVENTS_PER_REQUEST)

    begun = time.monotonic()
    with ThreadPoolExecutor(_SENDERS) as pool:
        sent = [pool.submit(send, due, due - begun > _WARM_UP) for due in _schedule(pace, seconds + _WARM_UP)]
        for future in sent:
            future.result()
    return lookout.finish()


def _events_seen(client: Client, ids: Collection[UUID]) -> list[UUID]:
    rows = client.execute(
        "SELECT event_id FROM events WHERE action = 'share' AND event_time > now() - 60 AND event_id IN %(ids)s",
        {"ids": tuple(ids)},
    )
    return [identifier for (identifier,) in rows]


def _schedule(per_second: float, seconds: float) -> list[float]:
    """When each thing is due (by `time.monotonic`), however long the ones before it took."""
    now = time.monotonic()
    return [now + number / per_second for number in range(int(per_second * seconds))]


def _sleep_until(due: float) -> None:
    if (left := due - time.monotonic()) > 0:
        time.sleep(left)
