"""`manage.py run_cdc_consumer`: changes of the source tables from Kafka into their copies in ClickHouse."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ingestion import reviving
from ingestion.batcher import Bounds
from ingestion.cdc import BATCH_SECONDS, NAME, WORKERS, CdcSink
from ingestion.consumer import Runtime
from ingestion.management import from_offset
from ingestion.management.asked import group
from ingestion.management.help import WithLines

EXIT_CODES = """exit codes:
  0  stopped by SIGTERM or SIGINT, everything under way stored (or left to the next start, which repeats it)
  1  unexpected: the log says what; starting again goes on where it stopped
  2  a setting, a source table, the connector, a topic or a table is not as it must be; the log names each.
     Also: a column that the copies need is gone from the source (the log names it), or --from-offset was refused
  3  Kafka no longer holds messages that were never stored (retention), or lost some that were read
  4  too many messages in a row, or too high a share, cannot be read: a wrong version of Nova or of the connector
  5  another process holds this consumer's partitions although Kafka assigned them here
 78  the environment has settings that cannot be used; each is named

SIGTERM: no more is read, and the batches under way get DRAIN_SECONDS to be stored.
HEALTH_PORT (0: off) serves /healthz, which fails when polling stalls, and /metrics."""


class Command(BaseCommand):
    help = (
        "Reads the changes of posts, follows, likes, comments and blocks into ClickHouse; the newest version of a row "
        "wins there. Likes and comments are also published as events. Any number of processes share the work."
    )
    # The checks would import every view and URL, which a consumer never uses.
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, formatter_class=WithLines, **kwargs)
        parser.epilog = EXIT_CODES
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--group", type=group, default=NAME, help=f"consumer group and name in the ledger ({NAME})")
        from_offset.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sink = CdcSink(options["group"])
        from_offset.apply(self, sink.name, sink.topics, options)
        reviving.start()
        # Small batches at once, by many threads that mostly wait for the same insert.
        sys.exit(Runtime(sink, bounds=Bounds(settings.BATCH_MESSAGES, BATCH_SECONDS), workers=WORKERS).run())
