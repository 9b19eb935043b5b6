"""Who is in an experiment is written down: until now it was worked out from the shares of all, and changed with them.

Viewers of the experiments that are active at this moment are divided anew, once.
"""

from typing import Any

from django.db import migrations, models

from ranking.split import allot


def divide(apps: Any, schema_editor: Any) -> None:
    taken: list[bytes] = []
    for one in apps.get_model("ranking", "Experiment").objects.filter(active=True).order_by("id"):
        one.buckets = allot(one.share, b"", taken, one.salt)
        one.save(update_fields=["buckets"])
        taken.append(one.buckets)


class Migration(migrations.Migration):
    dependencies = [("ranking", "0002_experiments")]

    operations = [
        migrations.AddField("experiment", "buckets", models.BinaryField(default=bytes, editable=False)),
        migrations.RunPython(divide, migrations.RunPython.noop),
    ]
