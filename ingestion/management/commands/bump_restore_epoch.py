"""`manage.py bump_restore_epoch`: tell ClickHouse that PostgreSQL was restored from a backup."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion import restore, source
from ingestion.management.asked import confirmed
from nova.errors import NovaError

_WORD = "restored"
_WHY = """Positions in PostgreSQL's log (LSNs) decide which of two states of a row is the newer one, and they are
smaller after a restore. A new restore epoch makes every change from now on newer than all from before. Change messages
in Kafka that were not stored yet are skipped, those that wait as dead letters dismissed: they tell of a past that did
not happen.
Do this once after each restore, and never otherwise: the skipped changes would be missed.
"""
_NEXT = """What to do next:
  1. manage.py setup_cdc --resnapshot      the slot is not part of a backup; reads every table anew
  2. start both consumers                  run_cdc_consumer learns the new epoch at its start
  3. manage.py verify_sync --repair        when it has caught up: deletes rows that the backup does not have
"""


class Command(BaseCommand):
    help = (
        "To be run once after PostgreSQL was restored from a backup: notes a new restore epoch in ClickHouse, so that "
        "changes win over the state from before the restore, skips change messages from before it and dismisses those "
        "that wait as dead letters. Asks for confirmation and says what to do next."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--reason", default="", help="kept beside the epoch, for people")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, **options: Any) -> None:
        try:
            epoch = source.restore_epoch()
            if in_the_way := restore.obstacles():
                raise CommandError("; ".join(in_the_way))
            if not options["yes"]:
                self._ask(epoch)
            bumped = restore.bump(options["reason"])
        except NovaError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            self.style.SUCCESS(
                f"restore epoch {bumped.epoch}; {bumped.skipped:,} messages from before it skipped, "
                f"{bumped.dismissed:,} waiting dead letters dismissed"
            )
        )
        self.stdout.write(_NEXT)

    def _ask(self, epoch: int) -> None:
        if not sys.stdin.isatty():
            raise CommandError("nobody is here to confirm; say --yes")
        self.stdout.write(_WHY)
        if not confirmed(f"The epoch is {epoch}. Type {_WORD!r} to make it {epoch + 1}: ", _WORD):
            raise CommandError("not confirmed, nothing was done")
