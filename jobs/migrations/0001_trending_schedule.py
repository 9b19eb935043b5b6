"""The default schedule of the trending lists. Staff may change it in the admin; a migration never changes it back."""

from django.db import migrations

PERIODS = {"1h": 60, "24h": 300, "7d": 3600}


def schedule(apps, schema_editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    for window, seconds in PERIODS.items():
        every = interval.objects.filter(every=seconds, period="seconds").first()
        every = every or interval.objects.create(every=seconds, period="seconds")
        task.objects.get_or_create(
            name=f"Trending posts, {window}",
            defaults={
                "task": "jobs.refresh_trending",
                "interval": every,
                "args": f'["{window}"]',
                # A run that waited longer than until the next one is not worth running.
                "expire_seconds": seconds,
            },
        )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task="jobs.refresh_trending").delete()


class Migration(migrations.Migration):
    dependencies = [("django_celery_beat", "0019_alter_periodictasks_options")]

    operations = [migrations.RunPython(schedule, unschedule)]
