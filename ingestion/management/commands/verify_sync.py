"""`manage.py verify_sync`: is ClickHouse what PostgreSQL is?"""

import sys
from argparse import ArgumentTypeError
from collections import Counter
from itertools import islice
from typing import IO, Any, cast
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from ingestion import reconcile, recount
from ingestion.decoders import ROWS
from ingestion.management.asked import seconds
from ingestion.management.help import EXIT_UNKNOWN, EXIT_USAGE, WithLines, refuse_by_usage
from ingestion.reconcile import Report
from ingestion.recount import Recount
from nova.errors import NovaError

EXIT_CODES = """exit codes:
  0  everything is the same
  1  something differs (or could not be repaired)
  2  something differed and has been repaired
  3  a database did not answer, nothing can be said
  64 an argument is wrong, nothing was compared"""
_POSTS_SHOWN = 20


def part(text: str) -> tuple[int, int]:
    """`2/7` as (2, 7)."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise ArgumentTypeError("wanted i/n with i from 1 to n, as 1/7")
    return int(number), int(of)


class Command(BaseCommand):
    help = (
        "Compare the copies in ClickHouse with the source tables in PostgreSQL, range by range, then row by row where "
        "a range differs. Changes may stream in meanwhile: what differs is looked at again until --patience is over. "
        "With --repair PostgreSQL's rows are sent anew and rows that only ClickHouse has are deleted, likes and "
        "comments with what they count; it waits for open transactions first. content_key is not compared. Then likes "
        "and comments of the last 29 days are compared with the events that count them (of parts with the first one)."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, formatter_class=WithLines, **kwargs)
        parser.epilog = EXIT_CODES
        refuse_by_usage(parser)
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tables", nargs="*", help=f"source tables (default: all): {', '.join(sorted(ROWS))}")
        parser.add_argument("--repair", action="store_true", help="put right what differs")
        parser.add_argument("--part", type=part, default=(1, 1), help="i/n: every n-th range from the i-th on")
        parser.add_argument("--range-rows", type=int, default=reconcile.RANGE_ROWS, help="rows a range (10,000)")
        parser.add_argument(
            "--patience",
            type=seconds,
            default=reconcile.PATIENCE,
            help="seconds until a difference counts; longer than the pipeline is behind (15)",
        )

    def handle(self, **options: Any) -> None:
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} rows compared"))
        try:
            with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
                task = bar.add_task("…", total=None)
                report = reconcile.verify(
                    options["tables"] or None,
                    part=options["part"],
                    repair=options["repair"],
                    range_rows=max(1, options["range_rows"]),
                    patience=options["patience"],
                    progress=lambda copy, rows: bar.update(task, description=copy, advance=rows),
                )
                bar.update(task, description="what reactions count")
                counts = Recount()
                if options["part"][0] == 1:
                    counts = recount.verify(
                        options["tables"] or None, repair=options["repair"], patience=options["patience"]
                    )
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from error
        except (NovaError, DatabaseError) as error:
            raise CommandError(str(error), returncode=EXIT_UNKNOWN) from error
        self._print(report, repair=options["repair"])
        self._print_counts(counts)
        codes = {report.exit_code, counts.exit_code}
        sys.exit(reconcile.EXIT_DIFFERENT if reconcile.EXIT_DIFFERENT in codes else max(codes))

    def _print_counts(self, counts: Recount) -> None:
        posts: Counter[tuple[str, UUID]] = Counter()
        for one in counts.found:
            posts[one.table, one.post_id] += one.counted - one.standing
        for (table, post), more in islice(posts.items(), _POSTS_SHOWN):
            self.stdout.write(f"{table} of post {post}: {abs(more):,} counted too {'often' if more > 0 else 'seldom'}")
        if len(posts) > _POSTS_SHOWN:
            self.stdout.write(f"… and {len(posts) - _POSTS_SHOWN:,} other posts")
        if counts.found:
            mended = len(counts.found) - len(counts.left)
            self.stdout.write(f"{len(counts.found):,} reactions are miscounted, {mended:,} put right")

    def _print(self, report: Report, *, repair: bool) -> None:
        if report.drifts:
            # Wide where nobody looks at it on a terminal, so that a log has each row on a line.
            out = Console(file=cast(IO[str], self.stdout), width=None if sys.stdout.isatty() else 160)
            table = Table("table", "range", title="what differs")
            for name in ("PostgreSQL", "ClickHouse", "missing", "extra", "different", "repaired"):
                table.add_column(name, justify="right")
            for drift in report.drifts:
                counts = (
                    drift.rows_here,
                    drift.rows_there,
                    drift.missing,
                    drift.extra,
                    drift.different,
                    drift.repaired,
                )
                shown = [f"{count:,}" for count in counts]
                if not drift.examined:
                    shown[2:] = ["?"] * 4
                table.add_row(drift.copy.target, str(drift.range), *shown)
            out.print(table)
        said = f"{report.rows:,} rows in {report.ranges:,} ranges compared, {len(report.drifts):,} ranges differ"
        if report.in_flight:
            said += f"; {report.in_flight:,} rows were still changing"
        if any(not drift.examined for drift in report.drifts):
            said += f"; more than {reconcile.MOST_ROWS:,} rows differ: run manage.py backfill, then this again"
        elif repair and report.exit_code == reconcile.EXIT_DIFFERENT:
            said += (
                "; some could not be repaired: the log names rows that can never be stored. If PostgreSQL was restored "
                "from a backup, run manage.py bump_restore_epoch"
            )
        self.stdout.write(said)
