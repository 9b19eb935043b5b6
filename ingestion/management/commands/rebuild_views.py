"""`manage.py rebuild_views`: the aggregates computed anew from the events."""

from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from ingestion import rebuild
from ingestion.management.asked import seconds
from ingestion.management.help import EXIT_UNKNOWN, EXIT_USAGE, WithLines, refuse_by_usage
from ingestion.stillness import STILL_SECONDS
from nova.errors import NovaError

LIMITS = f"""what can be rebuilt:
  Events are kept for {rebuild.EVENT_DAYS} days; only days that are still whole can be computed.
  event_ids, post_metrics_1h   those days, each replaced as a whole
  seen_posts                   the last 7 days, each replaced as a whole
  user_author_90d              those days; older ones stay as they are
  post_counters                posts made after the first of those days; older ones have events that are gone
Where something seems to differ, the events consumers are made to wait while that part is computed once more and put
right (seconds; they go on by themselves).

exit codes:
  0  everything is as the events say, by now
  1  something differs (with --dry-run)
  3  nothing can be said: ClickHouse did not answer, a batch stayed half inserted, or the tables are a cluster's
  64 an argument is wrong, nothing was compared"""
EXIT_DIFFERENT = 1


class Command(BaseCommand):
    help = "Compare the aggregates with what `events` says and put right what differs; safe while events stream in."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, formatter_class=WithLines, **kwargs)
        parser.epilog = LIMITS
        refuse_by_usage(parser)
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("views", nargs="*", help=f"default: all of {', '.join(rebuild.AGGREGATES)}")
        parser.add_argument("--days", type=int, help="only the last so many days, today included")
        parser.add_argument("--dry-run", action="store_true", help="only compare")
        parser.add_argument(
            "--patience",
            type=seconds,
            default=STILL_SECONDS,
            help=f"seconds to wait for a batch of events that is under way ({STILL_SECONDS:g})",
        )

    def handle(self, **options: Any) -> None:
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days must be at least 1", returncode=EXIT_USAGE)
        console = Console(stderr=True)
        try:
            with console.status("comparing") as status:
                outcomes = rebuild.rebuild(
                    options["views"] or None,
                    days=options["days"],
                    dry_run=options["dry_run"],
                    patience=options["patience"],
                    report=lambda done: status.update(f"{done.name} {done.day or ''} compared"),
                )
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from error
        except NovaError as error:
            raise CommandError(str(error), returncode=EXIT_UNKNOWN) from error
        wrong = [outcome for outcome in outcomes if outcome.wrong]
        if wrong:
            table = Table("aggregate", "day", "keys that differ", "mended")
            for outcome in wrong:
                day = str(outcome.day or "all")
                table.add_row(outcome.name, day, f"{outcome.wrong:,}", "yes" if outcome.mended else "no")
            Console(file=cast(IO[str], self.stdout)).print(table)
        said = f"{len(outcomes):,} parts compared, {len(wrong):,} differed"
        if wrong and options["dry_run"]:
            raise CommandError(said, returncode=EXIT_DIFFERENT)
        self.stdout.write(self.style.SUCCESS(said))
