from django.core.management.base import BaseCommand, CommandError

from clickhouse_sql.migrate import migrate
from nova.errors import NovaError


class Command(BaseCommand):
    help = "Make the ClickHouse database, its tables and views, or bring an older one to the declared schema."

    def handle(self, **options: object) -> None:
        try:
            ran = migrate(lambda name: self.stdout.write(f"  {name}"))
        except NovaError as error:
            raise CommandError(f"ClickHouse could not be migrated: {error}") from error
        self.stdout.write(self.style.SUCCESS(f"ClickHouse is up to date ({ran} scripts ran)"))
