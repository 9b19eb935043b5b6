import gc

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.urls import register_converter

from nova import postgres
from nova.converters import IdConverter


class NovaConfig(AppConfig):
    name = "nova"
    verbose_name = "Nova"

    def ready(self) -> None:
        register_converter(IdConverter, "id")
        connection_created.connect(postgres.read_every_time, dispatch_uid="nova.postgres")
        # A feed is a thousand small objects that form no cycle, and by the usual thresholds all that was ever imported
        # is searched for cycles every few feeds. What is here by now stays for good and need never be looked at.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
