"""manage.py seed_community: members with a past, for trials and tests."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.db.models import Model
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from community.models import User
from community.seeding import imagine
from nova import clock

_AT_ONCE = 2000
# Two seedings at the same moment would each find an empty community.
_LOCK = 0x6E6F7661


class Command(BaseCommand):
    help = "Fill an empty community with invented members, posts, follows, likes, comments and blocks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--members", type=int, default=60)
        parser.add_argument("--posts", type=int, default=600)
        parser.add_argument("--hours", type=float, default=72, help="how far back the posts reach (72)")
        parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same community")

    def handle(self, *, members: int, posts: int, hours: float, seed: int, **_: Any) -> None:
        if not 2 <= members <= 100_000 or not 0 <= posts <= 5_000_000 or not 0 < hours <= 24 * 366:
            raise CommandError("Take 2 to 100000 members, at most 5000000 posts, and at most 8784 hours.")
        console = Console(file=self.stdout, soft_wrap=True)  # type: ignore[arg-type]
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            # Staff who only administer are no community yet.
            if there := User.objects.filter(is_staff=False).count():
                console.print(f"The community has {there} members already; nothing was added.")
                return
            made = imagine(members=members, posts=posts, hours=hours, seed=seed, now=clock.now())
            _insert(console, made.members, made.posts, made.follows, made.blocks, made.likes, made.comments)
        console.print(
            f"{len(made.members)} members, {len(made.posts)} posts, {len(made.follows)} follows, "
            f"{len(made.likes)} likes, {len(made.comments)} comments, {len(made.blocks)} blocks and mutes."
        )


def _insert(console: Console, *tables: Sequence[Model]) -> None:
    shown = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        for rows in filter(None, tables):
            kind = type(rows[0])
            task = progress.add_task(str(kind._meta.verbose_name_plural), total=len(rows))
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                kind._default_manager.bulk_create(part)
                progress.advance(task, len(part))
