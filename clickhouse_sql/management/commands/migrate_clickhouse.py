from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from clickhouse_sql import cluster, memory, schema
from clickhouse_sql.migrate import migrate
from nova.errors import NovaError


class Command(BaseCommand):
    help = (
        "Make the ClickHouse database, its tables, views and dictionary, or bring an older one to the declared schema; "
        "with CLICKHOUSE_CLUSTER set, on every host of that cluster."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--print", action="store_true", help="only write the statements to stdout, for a new database"
        )
        parser.add_argument(
            "--cluster",
            metavar="NAME",
            default=settings.CLICKHOUSE_CLUSTER,
            help='with --print: as for this cluster ("" for one host; default: CLICKHOUSE_CLUSTER)',
        )

    def handle(self, **options: object) -> None:
        if options["print"]:
            self._print(str(options["cluster"]))
            return
        if options["cluster"] != settings.CLICKHOUSE_CLUSTER:
            raise CommandError(
                "--cluster goes with --print; to migrate a cluster, set CLICKHOUSE_CLUSTER for all processes"
            )
        try:
            ran = migrate(lambda name: self.stdout.write(f"  {name}"))
        except NovaError as error:
            raise CommandError(f"ClickHouse could not be migrated: {error}") from error
        self.stdout.write(self.style.SUCCESS(f"ClickHouse is up to date ({ran} scripts ran)"))

    def _print(self, name: str) -> None:
        for script in schema.declared():
            for statement in (cluster.render(script, name) if name else script).statements:
                self.stdout.write(f"{statement};\n")
        if memory.wanted() and not name:
            where = {**settings.CLICKHOUSE, "password": "the password of this user"}
            self.stdout.write(f"{memory.statement(where)};\n")
