"""What staff may save as a schedule: one that nobody can use leaves beat, the pages and all other jobs alone."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from celery.beat import Scheduler
from django.conf import settings
from django.test import Client
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from kombu.utils.imports import symbol_by_name

from jobs import schedule
from jobs.models import JobState
from jobs.registry import BY_NAME
from nova import redis
from nova.celery import app

pytestmark = pytest.mark.django_db(transaction=True)

ODD: dict[str, Callable[[], dict[str, Any]]] = {
    "at a sunrise that nobody here can tell": lambda: {
        "solar": SolarSchedule.objects.create(event="sunrise", latitude=50, longitude=8)
    },
    "on no day": lambda: {
        "crontab": CrontabSchedule.objects.create(day_of_month="31", month_of_year="2", minute="0", hour="0")
    },
    "after the end of time": lambda: {"interval": IntervalSchedule.objects.create(every=9_999_999, period="days")},
    "longer than Python counts": lambda: {"interval": IntervalSchedule.objects.create(every=2**31 - 1, period="days")},
    "with headers that are none": lambda: {
        "interval": IntervalSchedule.objects.create(every=1, period="seconds"),
        "headers": "[]",
    },
}


def _saved(job: str, **fields: Any) -> PeriodicTask:
    task = PeriodicTask(name=f"{job} {uuid4()}", task=BY_NAME[job].task, **fields)
    task.full_clean()
    task.save()
    return task


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest) -> PeriodicTask:
    PeriodicTask.objects.all().delete()
    return _saved("drift", **ODD[request.param]())


def _beat() -> Scheduler:
    made: Scheduler = symbol_by_name(settings.CELERY_BEAT_SCHEDULER)(app=app)
    return made


def test_beat_goes_on_with_all_others(odd: PeriodicTask) -> None:
    _saved("watch", interval=IntervalSchedule.objects.create(every=1, period="seconds"), start_time=odd.date_changed)
    queue = app.conf.task_default_queue
    redis.durable().delete(queue)
    try:
        beat = _beat()
        for _ in range(6):
            beat.tick()
        assert any(b"jobs.watch" in message for message in redis.durable().lrange(queue, 0, -1))
    finally:
        redis.durable().delete(queue)


def test_the_pages_the_metrics_and_the_job_itself_go_on(odd: PeriodicTask, admin_client: Client) -> None:
    for name in BY_NAME:
        JobState.objects.get_or_create(name=name)
    assert admin_client.get("/admin/jobs/jobstate/").status_code == 200
    assert admin_client.get("/admin/django_celery_beat/periodictask/").status_code == 200
    assert 'nova_job_runs_total{job="drift"' in admin_client.get("/metrics").text
    assert schedule.period(BY_NAME["drift"]) > 0
