from django.core.management.base import BaseCommand, CommandError

from clickhouse_sql.verify import differences
from nova.errors import NovaError

EXIT_DIFFERENT, EXIT_UNKNOWN = 1, 3


class Command(BaseCommand):
    help = (
        "Compare every table, column, engine, key, TTL, index, setting, view and dictionary in ClickHouse with what "
        "the .sql files declare. Exits with 1 when something differs, with 3 when ClickHouse does not answer."
    )

    def handle(self, **options: object) -> None:
        try:
            found = differences()
        except NovaError as error:
            raise CommandError(f"ClickHouse could not be asked: {error}", returncode=EXIT_UNKNOWN) from error
        for difference in found:
            self.stderr.write(str(difference))
        if found:
            raise CommandError(f"{len(found)} differences from the declared schema", returncode=EXIT_DIFFERENT)
        self.stdout.write(self.style.SUCCESS("ClickHouse is as declared"))
