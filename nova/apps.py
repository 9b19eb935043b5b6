from django.apps import AppConfig
from django.db.backends.signals import connection_created

from nova import postgres


class NovaConfig(AppConfig):
    name = "nova"
    verbose_name = "Nova"

    def ready(self) -> None:
        connection_created.connect(postgres.read_every_time, dispatch_uid="nova.postgres")
