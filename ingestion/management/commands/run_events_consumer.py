"""`manage.py run_events_consumer`: events from Kafka into ClickHouse, each exactly once."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.consumer import Runtime
from ingestion.dedup import GROUP
from ingestion.events import EventsSink
from ingestion.management import from_offset
from ingestion.management.asked import group
from ingestion.management.help import WithLines

EXIT_CODES = """exit codes:
  0  stopped by SIGTERM or SIGINT, everything under way stored (or left to the next start, which redoes it exactly)
  1  unexpected: the log says what; starting again goes on where it stopped
  2  a setting, a topic, or a table is not as it must be; the log names each. Also: --from-offset was refused
  3  Kafka no longer holds messages that were never stored (retention), or lost some that were read
  4  too many messages in a row, or too high a share, cannot be read: a wrong version of Nova or of a producer
  5  another process holds this consumer's partitions although Kafka assigned them here
 78  the environment has settings that cannot be used; each is named

SIGTERM: no more is read, and the batches under way get DRAIN_SECONDS to be stored.
HEALTH_PORT (0: off) serves /healthz, which fails when polling stalls, and /metrics."""


class Command(BaseCommand):
    help = "Reads the topic `events` into ClickHouse, each event exactly once. Any number of processes share the work."
    # The checks would import every view and URL, which a consumer never uses.
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, formatter_class=WithLines, **kwargs)
        parser.epilog = EXIT_CODES
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        says = f"consumer group and name in the ledger ({GROUP}); another may follow it, but not run beside it"
        parser.add_argument("--group", type=group, default=GROUP, help=says)
        from_offset.add_arguments(parser)
        parser.add_argument(
            "--doubt-tokens",
            action="store_true",
            help="for the first start after ClickHouse's deduplication log was lost (data restored, disk broken): of a "
            "batch that may be half inserted, send only the rows that are not there, and name the days to rebuild",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["doubt_tokens"] and settings.CLICKHOUSE_CLUSTER:
            raise CommandError("--doubt-tokens is for one host: a cluster keeps its tokens in Keeper", returncode=2)
        sink = EventsSink(options["group"], doubt_tokens=options["doubt_tokens"])
        from_offset.apply(self, sink.name, sink.topics, options)
        sys.exit(Runtime(sink).run())
