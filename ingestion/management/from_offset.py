"""`--from-offset` of both consumer commands: show what it means, have it confirmed, do it."""

import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from ingestion import rewind
from ingestion.errors import EXIT_SETTINGS
from ingestion.management.asked import confirmed
from ingestion.rewind import Move
from nova.errors import NovaError

_WORD = "move"


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--from-offset",
        action="append",
        default=[],
        metavar="TOPIC:PARTITION:OFFSET",
        help="before starting, set the ledger to this offset, or to earliest or latest; PARTITION may be *. Can be "
        "repeated. Shows what is skipped or read again and asks. Only while no process of the group runs; for a start "
        "by hand, never in a service's definition, where every restart would move again",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask whether --from-offset is meant")


def apply(command: BaseCommand, consumer: str, topics: Sequence[str], options: dict[str, Any]) -> None:
    """Carry out `--from-offset`, if given. Raises `CommandError` (exit code 2) when it is refused or not confirmed."""
    if not options["from_offset"]:
        return

    def waiting(running: int) -> None:
        command.stdout.write(f"Waiting for {running} processes of the group {consumer} to be gone …")

    try:
        moves = rewind.plan(consumer, topics, options["from_offset"])
        if rewind.wait_for_leavers(consumer, waiting):
            # The last one may have moved on until it ended.
            moves = rewind.plan(consumer, topics, options["from_offset"])
        _show(command, moves)
        if not options["yes"]:
            _ask(moves)
        rewind.carry_out(consumer, moves)
    except NovaError as error:
        raise CommandError(f"--from-offset: {error}", returncode=EXIT_SETTINGS) from error
    command.stdout.write(command.style.SUCCESS(f"{len(moves)} partitions set"))


def _show(command: BaseCommand, moves: Sequence[Move]) -> None:
    table = Table("partition", "from", "to", "skipped", "read again", "half inserted")
    for move in moves:
        table.add_row(
            f"{move.topic}[{move.partition}]",
            "never read" if move.at is None else str(move.at),
            str(move.to),
            f"{move.skipped:,}",
            f"{move.repeated:,}",
            f"{move.pending[0]}-{move.pending[1]}" if move.pending else "",
        )
    Console(file=cast(IO[str], command.stdout), width=110).print(table)
    if skipped := sum(move.skipped for move in moves):
        command.stdout.write(f"{skipped:,} offsets will NEVER be stored.")
    if any(move.pending for move in moves):
        command.stdout.write(
            "The batches named last are given up, as Kafka no longer holds all of them: what got in stays, but the "
            "aggregates may lack it. Run manage.py rebuild_views afterwards."
        )


def _ask(moves: Sequence[Move]) -> None:
    if not sys.stdin.isatty():
        raise CommandError("--from-offset: nobody is here to confirm; say --yes", returncode=EXIT_SETTINGS)
    if not confirmed(f"Type {_WORD!r} to set {len(moves)} partitions: ", _WORD):
        raise CommandError("--from-offset: not confirmed, nothing was changed", returncode=EXIT_SETTINGS)
