"""A browser before Nova's own web server and consumers, over the engines of the test run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.hashers import make_password
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.apps import NAMES, ROOT, STREAM, Apps, deploy, running_apps
from tests.browser import chromium
from tests.client import Api
from tests.world import World

PASSWORD = "correct horse battery staple"

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Installed when it is missing and may be; else these tests are skipped, with the reason and what to do."""
    try:
        return chromium.ensure()
    except chromium.Unavailable as reason:
        pytest.skip(f"no browser: {reason}")


@pytest.fixture(scope="package")
def prepared() -> Path:
    """Every schema, topic and the connector, made by the commands of a deployment; the folder for our processes."""
    deploy(os.environ)
    return ROOT / os.environ.get("NOVA_VAR", "var-test") / "browser"


@pytest.fixture(scope="package")
def apps(chromium_path: str, prepared: Path) -> Iterator[Apps]:
    """The demo's web server, its event streams and both consumers. Not for the whole run: other tests start consumers
    of their own."""
    with running_apps(os.environ, prepared, (*NAMES, STREAM), overrides={"DEMO": "1"}) as running:
        yield running


@pytest.fixture(scope="package")
def plain_web(chromium_path: str, prepared: Path) -> Iterator[Apps]:
    """A web server as in production: no demo."""
    with running_apps(os.environ, prepared / "plain", ["web"], overrides={"DEMO": "0"}) as running:
        yield running


@pytest.fixture
def world(apps: Apps) -> Iterator[World]:
    made = World(Api(apps.url, os.environ["JWT_SECRET"]), os.environ["DATABASE_URL"])
    yield made
    made.close()


@pytest.fixture(scope="package")
def browser_context(chromium_path: str) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright, chromium.opened(playwright, chromium_path) as context:
        yield context


@pytest.fixture
def page(browser_context: BrowserContext) -> Iterator[Page]:
    """A tab without cookies. At its end: nothing went wrong in it, and no policy was broken."""
    browser_context.clear_cookies()
    tab = browser_context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    yield tab
    tab.close()
    assert not wrong


@pytest.fixture
def staff(world: World) -> Callable[..., str]:
    """staff(*permissions) → the user name of a new member of staff who holds just those, like `app.codename`."""

    def make(*permissions: str) -> str:
        name = f"staff-{uuid4().hex[:12]}"
        member: UUID = world.sql_one(
            "INSERT INTO users (username, display_name, password, is_superuser, first_name, last_name, email, is_staff,"
            " is_active, date_joined) VALUES (%s, '', %s, false, '', '', '', true, true, now()) RETURNING id",
            name,
            make_password(PASSWORD),
        )
        for permission in permissions:
            app, codename = permission.split(".")
            given = world.sql(
                "INSERT INTO users_user_permissions (user_id, permission_id) SELECT %s, p.id FROM auth_permission p"
                " JOIN django_content_type t ON t.id = p.content_type_id WHERE t.app_label = %s AND p.codename = %s",
                member,
                app,
                codename,
            )
            assert given == 1, f"there is no permission {permission}"
        return name

    return make


def log_in(page: Page, name: str) -> None:
    """Fill the admin's login form, which must be before us."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
