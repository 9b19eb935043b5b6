"""The jobs in the admin: seen by staff, started only by those who may, changed by nobody."""

import json
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from celery import Task
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from kombu.exceptions import OperationalError

from jobs import schedule
from jobs.models import JobRun, JobState
from jobs.registry import JOBS
from nova import redis
from nova.celery import app
from nova.clock import now

pytestmark = pytest.mark.django_db

STATES = "/admin/jobs/jobstate/"


@pytest.fixture
def staff() -> Client:
    """A member of staff that may look, with CSRF checks on."""
    user = get_user_model().objects.create_user(username=f"staff-{uuid4().hex[:8]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_jobstate", "view_jobrun"]))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.user = user
    return client


def allow(client: Client) -> None:
    client.user.user_permissions.add(Permission.objects.get(codename="run_job"))


def token(client: Client) -> str:
    client.get(STATES)
    return client.cookies["csrftoken"].value


@pytest.fixture
def queue() -> str:
    """The broker's queue, empty before and after."""
    name = app.conf.task_default_queue
    redis.durable().delete(name)
    yield name
    redis.durable().delete(name)


def test_every_job_is_shown_with_what_it_did_and_when_it_is_due(staff: Client) -> None:
    for job in JOBS:
        JobState.objects.get_or_create(name=job.name)
    JobState.objects.filter(name="watch").update(started_at=now(), seconds=1.25, outcome="done", summary="all is well")
    page = staff.get(STATES).content.decode()
    for job in JOBS:
        assert job.name in page
        assert job.does.replace("'", "&#x27;") in page
    assert "all is well" in page
    assert "1.2 s" in page
    assert "in 30 s" in page or "in 29 s" in page
    assert 'id="run-now"' not in page


def test_runs_are_shown(staff: Client) -> None:
    JobRun.objects.create(job="watch", ticket="t", scheduled=True, started_at=now(), summary="looked around")
    page = staff.get("/admin/jobs/jobrun/").content.decode()
    assert "looked around" in page


def test_the_button_hands_the_job_to_a_worker(staff: Client, queue: str) -> None:
    allow(staff)
    assert 'id="run-now"' in staff.get(STATES).content.decode()
    answer = staff.post(f"{STATES}watch/run", headers={"X-CSRFToken": token(staff)})
    assert answer.status_code == 302
    (message,) = redis.durable().lrange(queue, 0, -1)
    assert b"jobs.watch" in message


def test_the_button_is_for_those_who_may_and_for_requests_of_ours(staff: Client, queue: str) -> None:
    headers = {"X-CSRFToken": token(staff)}
    assert staff.post(f"{STATES}watch/run", headers=headers).status_code == 403
    allow(staff)
    assert staff.post(f"{STATES}watch/run").status_code == 403
    assert staff.get(f"{STATES}watch/run").status_code == 405
    assert staff.post(f"{STATES}none/run", headers=headers).status_code == 404
    assert Client().post(f"{STATES}watch/run").status_code == 302
    # Who may not see what it leads to does not press it, either.
    staff.user.user_permissions.set(Permission.objects.filter(codename="run_job"))
    assert staff.post(f"{STATES}watch/run", headers=headers).status_code == 403
    assert redis.durable().llen(queue) == 0


@pytest.mark.parametrize("address", ["/admin/jobs/jobstate/add/", "/admin/jobs/jobrun/add/"])
def test_nobody_writes_rows_by_hand(admin_client: Client, address: str) -> None:
    assert admin_client.get(address).status_code == 403


def test_the_schedules_are_there_to_be_changed(admin_client: Client) -> None:
    for _ in range(2):
        import_module("jobs.migrations.0002_schedules").schedule(apps, None)
    assert PeriodicTask.objects.filter(task__startswith="jobs.").count() == len(JOBS)
    page = admin_client.get("/admin/django_celery_beat/periodictask/").content.decode()
    assert "Suggested members" in page
    assert "jobs.trending_1h" in page or "Trending posts of the last hour" in page


def _scheduled(**schedule: Any) -> PeriodicTask:
    task = PeriodicTask(name=f"odd {uuid4()}", task=JOBS[0].task, **schedule)
    task.full_clean()
    task.save()
    return task


@pytest.mark.parametrize("action", ["disable_tasks", "toggle_tasks", "run_tasks"])
def test_who_may_only_look_at_schedules_changes_and_starts_nothing(staff: Client, queue: str, action: str) -> None:
    staff.user.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    task = _scheduled(interval=IntervalSchedule.objects.create(every=1, period="days"))
    address, form = "/admin/django_celery_beat/periodictask/", {"action": action, "_selected_action": [task.pk]}
    assert staff.get(address).status_code == 200
    staff.post(address, {**form, "csrfmiddlewaretoken": token(staff)})
    task.refresh_from_db()
    assert task.enabled
    assert not redis.durable().llen(queue)


@pytest.mark.parametrize("kind", ["never", "solar"])
def test_a_schedule_that_never_comes_leaves_the_page_and_the_metrics(admin_client: Client, kind: str) -> None:
    JobState.objects.get_or_create(name=JOBS[0].name)
    if kind == "never":
        _scheduled(crontab=CrontabSchedule.objects.create(day_of_month="31", month_of_year="2", minute="0", hour="0"))
    else:
        _scheduled(solar=SolarSchedule.objects.create(event="sunrise", latitude=50, longitude=8))
    assert admin_client.get("/admin/jobs/jobstate/").status_code == 200
    assert f'nova_job_runs_total{{job="{JOBS[0].name}"' in admin_client.get("/metrics").text
    assert schedule.period(JOBS[0]) > 0


def test_a_run_that_staff_ask_for_among_the_schedules_is_theirs(staff: Client, queue: str) -> None:
    """As one by the button: bound to no slot of the schedule, of which another run may have been made just now."""
    allow(staff)
    staff.user.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    task = _scheduled(interval=IntervalSchedule.objects.create(every=1, period="days"))
    form = {"action": "run_tasks", "_selected_action": [task.pk], "csrfmiddlewaretoken": token(staff)}
    page = staff.post("/admin/django_celery_beat/periodictask/", form, follow=True).content.decode()
    assert f"Handed to a worker: {JOBS[0].name}" in page
    (message,) = redis.durable().lrange(queue, 0, -1)
    asked = json.loads(message)
    assert "periodic_task_name" not in asked["headers"]
    assert staff.user.username in asked["headers"]["kwargsrepr"]


def test_redis_may_be_away_when_staff_start_a_schedule(
    staff: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("nobody there")

    allow(staff)
    staff.user.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    mine = _scheduled(interval=IntervalSchedule.objects.create(every=1, period="days"))
    other = _scheduled(interval=IntervalSchedule.objects.create(every=2, period="days"))
    PeriodicTask.objects.filter(pk=other.pk).update(task="celery.backend_cleanup")
    monkeypatch.setattr(app, "send_task", refuse)
    monkeypatch.setattr(Task, "apply_async", refuse)
    for task in (mine, other):
        form = {"action": "run_tasks", "_selected_action": [task.pk], "csrfmiddlewaretoken": token(staff)}
        answer = staff.post("/admin/django_celery_beat/periodictask/", form, follow=True)
        assert answer.status_code == 200
        assert "nobody there" in answer.content.decode()
