"""The default schedules. Staff may change them in the admin; a migration never changes them back."""

from django.db import migrations
from django.utils.timezone import now

# name of the job: title, seconds between two runs
EVERY = {
    "trending_1h": ("Trending posts of the last hour", 60),
    "trending_24h": ("Trending posts of the last day", 300),
    "trending_7d": ("Trending posts of the last week", 3600),
    "suggestions": ("Suggested members", 600),
    "warmer": ("Cache warmer", 60),
    "dead_letters": ("Dead-letter sweep", 60),
    "watch": ("Watch over slot, WAL and lag", 30),
}
# name of the job: title, hour, minute (UTC)
NIGHTLY = {
    "drift": ("Drift check", 2, 20),
    "retention": ("Retention", 3, 40),
}


def schedule(apps, schema_editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    state = apps.get_model("jobs", "JobState")
    for job, (title, seconds) in EVERY.items():
        # Two equal ones are possible there, so this is no get_or_create.
        every = interval.objects.filter(every=seconds, period="seconds").first()
        every = every or interval.objects.create(every=seconds, period="seconds")
        defaults = {
            "task": f"jobs.{job}",
            "interval": every,
            # A run that waited longer than until the next one is not worth running.
            "expire_seconds": seconds,
            # With one in the past the first run is due at once, and not only after a whole period.
            "start_time": now(),
        }
        task.objects.get_or_create(name=title, defaults=defaults)
        state.objects.get_or_create(name=job)
    for job, (title, hour, minute) in NIGHTLY.items():
        at = {"minute": str(minute), "hour": str(hour), "timezone": "UTC"}
        night = crontab.objects.filter(day_of_week="*", day_of_month="*", month_of_year="*", **at).first()
        night = night or crontab.objects.create(**at)
        defaults = {"task": f"jobs.{job}", "crontab": night, "expire_seconds": 6 * 3600}
        task.objects.get_or_create(name=title, defaults=defaults)
        state.objects.get_or_create(name=job)


def unschedule(apps, schema_editor):
    tasks = [f"jobs.{job}" for job in (*EVERY, *NIGHTLY)]
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task__in=tasks).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
