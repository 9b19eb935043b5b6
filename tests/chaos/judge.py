"""When all has healed: waiting until everything has arrived, then the verdict. Needs Django's settings."""

import time
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import KafkaException
from django.conf import settings
from django.db import DatabaseError, connections

from ingestion import lag, rebuild, reconcile
from ingestion.models import DeadLetter, Offset
from nova import clickhouse, kafka, topics
from nova.errors import NovaError
from tests.chaos.town import Town
from tests.chaos.verdict import NotHealed, Verdict
from tests.integration import oracle

# The stream has stopped when this is asked: what differs, differs for good.
_PATIENCE = 3.0


def settle(town: Town, seconds: float, each: Callable[[str], None]) -> None:
    """Wait until all that was written has arrived. each: told what is waited for. Raises `NotHealed`."""
    deadline = time.monotonic() + seconds
    _wait(lambda: town.mark() is not None, "PostgreSQL", deadline, each)
    mark = town.posts[-1]
    _wait(lambda: _arrived(mark), "the last change", deadline, each)
    # Likes and comments come out of the changes: first those, then the events.
    for consumer in ("cdc", "events"):
        _wait(lambda consumer=consumer: _through(consumer), f"the {consumer} consumer", deadline, each)


def _wait(look: Callable[[], bool], what: str, deadline: float, each: Callable[[str], None]) -> None:
    error = ""
    while True:
        each(what)
        try:
            if look():
                return
        except (NovaError, DatabaseError, KafkaException, psycopg.Error) as reason:
            error = f": {reason}"
            connections.close_all()
        if time.monotonic() > deadline:
            raise NotHealed(f"{what} did not come through in time{error}")
        time.sleep(0.5)


def _arrived(post: UUID) -> bool:
    return bool(clickhouse.query("SELECT 1 FROM posts_cdc WHERE id = {id:UUID} LIMIT 1", {"id": post}))


def _through(consumer: str) -> bool:
    wanted = [topics.EVENTS] if consumer == "events" else list(topics.CDC)
    ids = kafka.topic_ids(*wanted)
    rows = list(Offset.objects.filter(consumer=consumer, topic_id__in=ids.values()))
    if len(rows) < settings.KAFKA_PARTITIONS * len(wanted):
        return False
    live = lag.ends(rows)
    return bool(live) and all(row.pending_lo is None and lag.lag(row, live) == 0 for row in rows)


def judge(made: Collection[str], acknowledged: Collection[str], letters: Collection[bytes]) -> Verdict:
    """Compare what was promised with what is there. made: ids of all events that apps sent."""
    promised = {UUID(one) for one in acknowledged}
    verdict = Verdict(len(promised), letters=len(letters))
    found = set(oracle.stored({UUID(one) for one in made}))
    verdict.stored = len(promised & found)
    [(rows, different)] = clickhouse.query("SELECT count(), uniqExact(event_id) FROM events")
    verdict.doubled = rows - different
    [(known,)] = clickhouse.query("SELECT uniqExact(event_id) FROM events WHERE source != 'table'")
    verdict.unknown = known - len(found)
    posts = [row[0] for row in clickhouse.query("SELECT DISTINCT post_id FROM events")]
    verdict.aggregates = oracle.miscounted(posts)
    for outcome in rebuild.rebuild(days=2, dry_run=True):
        if outcome.wrong:
            name = f"{outcome.name} (rebuild_views)"
            verdict.aggregates[name] = verdict.aggregates.get(name, 0) + outcome.wrong
    report = reconcile.verify(patience=_PATIENCE)
    for drift in report.drifts:
        name = drift.copy.target
        verdict.copies[name] = verdict.copies.get(name, 0) + drift.missing + drift.extra + drift.different
    verdict.reactions = _miscounted_reactions()
    kept = {bytes(raw) for raw in DeadLetter.objects.filter(topic=topics.EVENTS).values_list("raw", flat=True)}
    verdict.letters_lost = len(set(letters) - kept)
    verdict.compared = {"events": rows, "posts": len(posts), "rows": report.rows}
    return verdict


_COUNTED = """
SELECT post_id, sum(multiIf(action = 'like', 1, action = 'unlike', -1, 0)) AS likes,
    sum(multiIf(action = 'comment', 1, action = 'uncomment', -1, 0)) AS comments
FROM events WHERE source = 'table' GROUP BY post_id HAVING likes != 0 OR comments != 0
"""
_THERE = """
SELECT post_id, sum(likes), sum(comments) FROM (
    SELECT post_id, 1 AS likes, 0 AS comments FROM likes UNION ALL SELECT post_id, 0, 1 FROM comments
) AS reactions GROUP BY post_id
"""


def _miscounted_reactions() -> int:
    """Posts of which the events do not count the likes and comments that stand in PostgreSQL."""
    counted: dict[Any, tuple[int, int]] = {post: (likes, said) for post, likes, said in clickhouse.query(_COUNTED)}
    with connections["default"].cursor() as cursor:
        cursor.execute(_THERE)
        there = {post: (int(likes), int(said)) for post, likes, said in cursor.fetchall()}
    return sum(counted.get(post) != there.get(post) for post in counted.keys() | there.keys())


def spoil(acknowledged: Collection[str]) -> None:
    """Lose an event, double another, take a follow out of its copy: the judge must find each (negative control)."""
    lost, doubled = sorted(acknowledged)[:2]
    clickhouse.command(
        "ALTER TABLE events DELETE WHERE event_id = {id:UUID}", {"id": lost}, server_settings={"mutations_sync": 2}
    )
    clickhouse.command(
        "INSERT INTO events SELECT * FROM events WHERE event_id = {id:UUID}",
        {"id": doubled},
        server_settings={"deduplicate_insert": "disable", "insert_deduplicate": 0},
    )
    clickhouse.command(
        "INSERT INTO follows_cdc SELECT * REPLACE (version + 1 AS version, 1 AS is_deleted) FROM follows_cdc FINAL"
        " LIMIT 1",
        server_settings={"deduplicate_insert": "disable", "insert_deduplicate": 0},
    )
