from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion import connector
from ingestion.management.asked import seconds
from ingestion.management.help import EXIT_UNKNOWN
from nova.errors import NovaError, Transient


class Command(BaseCommand):
    help = (
        "Give Kafka Connect the Debezium connector and wait until it runs. Safe to run again: a present connector gets "
        "the wanted configuration, a failed task is started again. The connector makes the replication slot."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="only compare the live configuration with the wanted one; the exit code is 1 when something differs, "
            "and 3 when Kafka Connect could not be asked",
        )
        parser.add_argument(
            "--resnapshot",
            action="store_true",
            help="forget the connector's position and its slot and read every table anew (after a lost slot). "
            "What was deleted meanwhile is not in a snapshot: compare both sides afterwards",
        )
        parser.add_argument("--timeout", type=seconds, default=90, help="seconds to wait until it runs (default 90)")

    def handle(self, **options: Any) -> None:
        try:
            if options["check"]:
                self.check_live()
                return
            if without := connector.tables_without_full_old_rows():
                raise CommandError(
                    f"{', '.join(without)}: not in publication {settings.CDC_PUBLICATION} or without REPLICA IDENTITY "
                    "FULL. Run manage.py migrate first"
                )
            if options["resnapshot"]:
                connector.forget_position()
                self.stdout.write("  position and slot forgotten")
            connector.apply()
            connector.wait_running(lambda line: self.stdout.write(f"  {line}"), options["timeout"])
            slot = connector.slot_state() or {}
        except NovaError as error:
            again = " Run it again when that is so." if isinstance(error, Transient) else ""
            # Of a connector that is not there it is known that it differs.
            is_unknown = options["check"] and isinstance(error, Transient)
            raise CommandError(f"{error}.{again}", returncode=EXIT_UNKNOWN if is_unknown else 1) from error
        self.stdout.write(
            self.style.SUCCESS(
                f"{settings.CDC_CONNECTOR} runs; slot {settings.CDC_SLOT} is "
                f"{'active' if slot.get('active') else 'not active yet'}, {slot.get('wal_status')}, "
                f"{slot.get('behind', 0):,} bytes behind"
            )
        )

    def check_live(self) -> None:
        found = connector.config_differences()
        for difference in found:
            self.stderr.write(str(difference))
        if found:
            raise CommandError(f"{len(found)} differences from the wanted configuration", returncode=1)
        self.stdout.write(self.style.SUCCESS("the connector is set as wanted"))
