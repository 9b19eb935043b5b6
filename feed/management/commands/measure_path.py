"""How long the whole path takes, measured from outside as its users see it.

Three figures: a row committed in PostgreSQL → the post in a follower's `/api/feed`; a follow committed → the changed
feed; an event accepted by `POST /api/events` → its count in ClickHouse. Members made for it are deleted afterwards.
"""

import json
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import urllib3
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from rich.console import Console
from rich.progress import track
from rich.table import Table

from community.ids import new_id
from community.models import User
from community.services import do_delete_members
from nova import clickhouse
from nova.clock import now
from nova.management.commands.issue_token import check_issuer, issue

_POLL_SECONDS = 0.01
_GIVE_UP_SECONDS = 30


class _Api:
    """Nova as a service that may act for any member: the limits of a viewer would slow the polling."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        check_issuer()
        self._token = issue(UUID(int=0), hours=1, service=True)

    def call(self, method: str, path: str, member: UUID, body: object = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "X-Act-For": str(member),
            "Content-Type": "application/json",
        }
        sent = None if body is None else json.dumps(body).encode()
        try:
            answer = self._http.request(method, f"{self._url}{path}", body=sent, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise CommandError(f"{self._url} does not answer: {error}") from error
        if answer.status >= 300:
            raise CommandError(
                f"{method} {path} answered {answer.status}: {answer.data[:500].decode(errors='replace')}"
            )
        return json.loads(answer.data or b"{}")

    def feed_has(self, viewer: UUID, post: UUID) -> bool:
        """Whether `post` is anywhere in the viewer's feed, looking through all its pages."""
        cursor = ""
        while True:
            page = self.call("GET", f"/api/feed?limit=100{cursor}", viewer)
            if any(item["id"] == str(post) for item in page["posts"]):
                return True
            if not page["has_more"]:
                return False
            cursor = f"&cursor={page['cursor']}"


def _seconds_until(holds: Callable[[], bool], what: str) -> float:
    """Seconds from now until `holds()`; CommandError after 30 s."""
    begin = time.perf_counter()
    while not holds():
        if time.perf_counter() - begin > _GIVE_UP_SECONDS:
            raise CommandError(f"{what} did not happen within {_GIVE_UP_SECONDS} s; are both consumers running?")
        time.sleep(_POLL_SECONDS)
    return time.perf_counter() - begin


class Command(BaseCommand):
    help = (
        "Measure, over a number of tries, p50 and p95 of the three paths: a post committed in PostgreSQL to a "
        "follower's feed, a follow to the changed feed, an accepted event to its count in ClickHouse. Needs the whole "
        "stack running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tries", type=int, default=100, help="tries of each path (default 100)")
        parser.add_argument("--url", required=True, help="where Nova answers, for example http://127.0.0.1:8000")

    def handle(self, *, tries: int, url: str, **options: object) -> None:
        if tries < 1:
            raise CommandError("--tries must be 1 or more")
        console = Console(stderr=True)
        api = _Api(url)
        name = f"measure-{secrets.token_hex(4)}"
        viewer, *authors = User.objects.bulk_create(
            User(username=f"{name}-{index}", display_name="measuring", password="!") for index in range(tries + 2)
        )
        try:
            with closing(connection):
                figures = {
                    "post_to_feed": self._posts(api, viewer, authors[0], tries, console),
                    "follow_to_feed": self._follows(api, viewer, authors[1:], tries, console),
                    "event_to_count": self._events(api, viewer, authors[0], tries, console),
                }
        finally:
            _forget(name)
        table = Table("path", "p50 ms", "p95 ms", "tries")
        for path, figure in figures.items():
            table.add_row(path.replace("_", " "), str(figure["p50_ms"]), str(figure["p95_ms"]), str(tries))
        console.print(table)
        self.stdout.write(json.dumps({"tries": tries, **figures}))

    def _posts(self, api: _Api, viewer: User, author: User, tries: int, console: Console) -> dict[str, float]:
        api.call("POST", "/api/follows", viewer.id, {"followee_id": str(author.id)})
        taken = []
        for index in track(range(tries), "post → feed", console=console):
            post = _insert_post(author, f"measured post {index} {secrets.token_hex(4)}")
            taken.append(_seconds_until(lambda: api.feed_has(viewer.id, post), "a post in its follower's feed"))  # noqa: B023
        return _figure(taken)

    def _follows(self, api: _Api, viewer: User, authors: list[User], tries: int, console: Console) -> dict[str, float]:
        posts = [_insert_post(author, f"waiting for a follower {author.id}") for author in authors[:tries]]
        _seconds_until(lambda: _stored_posts(posts) == len(posts), "the copy of all posts in ClickHouse")
        taken = []
        for author, post in track(list(zip(authors, posts, strict=False)), "follow → feed", console=console):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("INSERT INTO follows (follower_id, followee_id) VALUES (%s, %s)", [viewer.id, author.id])
            taken.append(_seconds_until(lambda: api.feed_has(viewer.id, post), "a follow in the feed"))  # noqa: B023
        return _figure(taken)

    def _events(self, api: _Api, viewer: User, author: User, tries: int, console: Console) -> dict[str, float]:
        taken = []
        post = _insert_post(author, "a post to be seen")
        for index in track(range(tries), "event → count", console=console):
            event = {
                "event_id": str(new_id()),
                "event_time": now().isoformat(),
                "user_id": str(viewer.id),
                "post_id": str(post),
                "action": "impression",
            }
            receipt = api.call("POST", "/api/events", viewer.id, {"events": [event]})
            if receipt["accepted"] != 1:
                raise CommandError(f"the event was not accepted: {receipt}")
            taken.append(_seconds_until(lambda: _impressions(post) == index + 1, "the count of an event"))  # noqa: B023
        return _figure(taken)


def _insert_post(author: User, text: str) -> UUID:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO posts (author_id, text) VALUES (%s, %s) RETURNING id", [author.id, text])
        row = cursor.fetchone()
    assert row is not None
    return UUID(str(row[0]))


def _forget(name: str) -> None:
    """Delete the members whose names begin with `name`, and all that is theirs."""
    do_delete_members(User.objects.filter(username__startswith=name))


def _stored_posts(posts: list[UUID]) -> int:
    rows = clickhouse.query("SELECT count() FROM posts_cdc FINAL WHERE id IN {ids:Array(UUID)}", {"ids": posts})
    return int(rows[0][0])


def _impressions(post: UUID) -> int:
    rows = clickhouse.query("SELECT sum(impressions) FROM post_counters WHERE post_id = {id:UUID}", {"id": post})
    return int(rows[0][0])


def _figure(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p95 = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
    return {"p50_ms": round(statistics.median(ordered) * 1000, 1), "p95_ms": round(p95 * 1000, 1)}
