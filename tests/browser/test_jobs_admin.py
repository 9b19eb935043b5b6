"""Staff at work with the background jobs, by clicking; a real worker does what they ask for."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from embedded.process import Process
from jobs.registry import JOBS
from tests.apps import ROOT, Apps
from tests.browser.conftest import log_in
from tests.client import wait_until
from tests.world import World

LOOK = ("jobs.view_jobstate", "jobs.view_jobrun")


@pytest.fixture
def worker(apps: Apps, tmp_path: Path) -> Iterator[Process]:
    argv = [sys.executable, "-m", "celery", "-A", "nova", "worker", "--concurrency=1", "--loglevel=INFO"]
    options = ["--without-gossip", "--without-mingle"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "nova.settings"}
    process = Process([*argv, *options], environment=environment, log=tmp_path / "worker.log", cwd=ROOT)
    yield process
    process.signal_all(9)
    process.wait(30)


def test_staff_starts_a_job_by_clicking(
    page: Page, apps: Apps, world: World, staff: Callable[..., str], worker: Process
) -> None:
    name = staff(*LOOK, "jobs.run_job")
    page.goto(f"{apps.url}/admin/jobs/jobstate/")
    log_in(page, name)
    for job in JOBS:
        expect(page.locator("#result_list tbody tr", has=page.get_by_text(job.name, exact=True))).to_have_count(1)
    page.get_by_role("button", name="retention", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("Handed to a worker: retention")
    done = "SELECT 1 FROM job_runs WHERE job = 'retention' AND by = %s AND outcome = 'done'"
    wait_until(lambda: world.sql_rows(done, name), "the run")
    page.reload()
    line = page.locator("#result_list tbody tr", has=page.get_by_text("retention", exact=True))
    expect(line).to_contain_text("deleted: ")
    line.get_by_role("link", name="its runs").click()
    expect(page.locator("#result_list tbody tr", has_text=name)).to_have_count(1)


def test_who_may_only_look_has_no_buttons(page: Page, apps: Apps, staff: Callable[..., str]) -> None:
    page.goto(f"{apps.url}/admin/jobs/jobstate/")
    log_in(page, staff(*LOOK))
    expect(page.locator("#result_list tbody tr")).to_have_count(len(JOBS))
    expect(page.locator("#run-now")).to_have_count(0)


def test_schedules_are_changed_in_the_admin(page: Page, apps: Apps, world: World, staff: Callable[..., str]) -> None:
    may = ("view_periodictask", "change_periodictask", "view_intervalschedule", "view_crontabschedule")
    name = staff(*LOOK, *(f"django_celery_beat.{permission}" for permission in may))
    page.goto(f"{apps.url}/admin/django_celery_beat/periodictask/?q=Suggested")
    log_in(page, name)
    page.get_by_role("link", name="Suggested members").click()
    page.get_by_label("Enabled").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    page.goto(f"{apps.url}/admin/jobs/jobstate/")
    line = page.locator("#result_list tbody tr", has=page.get_by_text("suggestions", exact=True))
    expect(line).to_contain_text("switched off")
    world.sql("UPDATE django_celery_beat_periodictask SET enabled = true WHERE task = 'jobs.suggestions'")
