from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion import topics_admin
from ingestion.management.help import EXIT_UNKNOWN
from nova.errors import NovaError


class Command(BaseCommand):
    help = (
        "Make the Kafka topics that are missing, let the present ones take messages as large as they should, and say "
        "where else they differ from the settings. Safe to run again. With --check nothing is made; the exit code is 1 "
        "when something differs, and 3 when Kafka could not be asked."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--check", action="store_true", help="only compare")

    def handle(self, **options: Any) -> None:
        try:
            made = [] if options["check"] else topics_admin.create()
            widened = [] if options["check"] else topics_admin.widen()
            different = topics_admin.differences()
        except NovaError as error:
            if options["check"]:
                raise CommandError(f"the topics could not be compared: {error}", returncode=EXIT_UNKNOWN) from error
            raise CommandError(f"the topics could not be made: {error}") from error
        for name in made:
            self.stdout.write(f"  {name}")
        for name in widened:
            self.stdout.write(f"  {name} takes larger messages now")
        for line in different:
            self.stderr.write(self.style.WARNING(line))
        if different and options["check"]:
            raise CommandError(f"{len(different)} differences from the wanted topics", returncode=1)
        self.stdout.write(self.style.SUCCESS(f"{len(topics_admin.wanted())} topics, {len(made)} of them new"))
