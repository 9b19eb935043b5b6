"""`manage.py backfill`: a source table copied from PostgreSQL to ClickHouse."""

import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ingestion import backfill
from ingestion.decoders import ROWS
from ingestion.management.asked import above_zero, seconds
from nova.errors import NovaError

EXIT_INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Copy a source table from PostgreSQL to its copy in ClickHouse, while changes stream in: what the stream "
        "brings is never overwritten by something older. Can be stopped at any time (Ctrl-C finishes the piece at "
        "hand, exit code 130) and goes on where it stopped. Waits at its start until transactions that write have "
        "ended. Rows that only ClickHouse has stay: manage.py verify_sync --repair deletes them."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("table", choices=sorted(ROWS))
        parser.add_argument("--batch", type=int, default=backfill.BATCH, help=f"rows a piece ({backfill.BATCH:,})")
        parser.add_argument("--restart", action="store_true", help="from the beginning, not from where it stopped")
        parser.add_argument(
            "--with-events",
            action="store_true",
            help="publish likes and comments of the last 90 days as events too; what was counted is not counted again",
        )
        parser.add_argument("--rate", type=above_zero, help="rows a second at most (default: as fast as it goes)")
        parser.add_argument(
            "--patience", type=seconds, default=3600, help="seconds to wait for open transactions (3600)"
        )

    def handle(self, **options: Any) -> None:
        stopping = False

        def stop(number: int, frame: Any) -> None:
            nonlocal stopping
            stopping = True
            # A second one ends it at once; nothing is lost by that either.
            signal.signal(number, signal.SIG_DFL)
            self.stderr.write("stopping after this piece")

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        try:
            with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
                task = bar.add_task(options["table"], total=None)
                result = backfill.run(
                    options["table"],
                    batch=options["batch"],
                    restart=options["restart"],
                    events=options["with_events"],
                    rate=options["rate"],
                    patience=options["patience"],
                    progress=lambda done, of: bar.update(task, completed=done, total=of),
                    say=self.stdout.write,
                    going_on=lambda: not stopping,
                )
        except NovaError as error:
            if stopping:
                sys.exit(EXIT_INTERRUPTED)
            raise CommandError(str(error)) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        said = f"{result.rows:,} rows of {options['table']} stored"
        if result.refused:
            said += f", {result.refused:,} refused (see the log)"
        if not result.finished:
            self.stdout.write(f"{said}; stopped, the next run goes on from here")
            sys.exit(EXIT_INTERRUPTED)
        self.stdout.write(self.style.SUCCESS(said))
