"""livez, readyz, metrics, the schema and the admin, as their readers see them."""

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import AsyncClient
from rest_framework.test import APIClient

from community.models import User
from nova import health


@pytest.fixture
def readiness(monkeypatch):
    """readiness(checks) → a client whose /readyz asks these checks and the real migrations."""

    def use(checks):
        monkeypatch.setattr(health, "_KEEP_SECONDS", 0.0)
        monkeypatch.setattr(health, "readiness", health.Readiness(checks, health.migrated))
        return APIClient()

    return use


def down() -> None:
    raise OSError("refused")


def test_livez_asks_nobody(client, django_assert_num_queries):
    answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_the_asgi_process_answers_with_the_same_headers():
    client = AsyncClient()
    assert async_to_sync(client.get)("/livez", headers={"X-Request-ID": "mine"})["X-Request-ID"] == "mine"
    refused = async_to_sync(client.get)("/livez", headers={"Transfer-Encoding": "chunked"})
    assert refused.status_code == 411


@pytest.mark.django_db(transaction=True)
def test_who_probes_and_scrapes_may_come_by_an_address(client):
    """As an orchestrator and Prometheus do: ALLOWED_HOSTS holds the names of the site."""
    asked = ("/livez", "/readyz", "/metrics", "/api/docs")
    found = [client.get(path, headers={"Host": "10.0.0.3:8000"}).status_code for path in asked]
    assert found == [200, 200, 200, 400]


@pytest.mark.django_db(transaction=True)
def test_readyz_turns_ready_and_stays_200(readiness):
    checks = {name: health.CHECKS[name] for name in ("postgresql", "redis", "redis_cache")}
    client = readiness(checks)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready"), answer.json()
    assert set(answer.json()["parts"].values()) == {"ok"}


@pytest.mark.django_db(transaction=True)
def test_readyz_reports_what_is_down_and_stays_200(readiness, settings):
    client = readiness({"redis": health.CHECKS["redis"], "kafka": down})
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["parts"] == {"redis": "ok", "kafka": "down (OSError)", "migrations": "ok"}
    assert "no-cache" in answer["Cache-Control"]


def test_readyz_starts_with_503(monkeypatch, client):
    monkeypatch.setattr(health, "readiness", health.Readiness({}, down))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")


def test_metrics_need_no_token_and_name_no_member(client, db):
    member = get_user_model().objects.create_user(username="ann")
    client.get(f"/api/members/{member.id}")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "nova_feed_stage_seconds" in text
    assert "django_http_requests" in text
    assert str(member.id) not in text


def test_metrics_of_several_processes(client, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    answer = client.get("/metrics")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_schema_has_no_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_the_schema_describes_each_call_once_with_its_errors(client):
    schema = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert "/api/posts" in schema["paths"]
    assert not [path for path in schema["paths"] if path.startswith("/api/v1")]
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    responses = schema["paths"]["/api/posts"]["post"]["responses"]
    assert {"200", "201", "400", "401", "403", "409", "429", "503"} == set(responses)
    assert responses["409"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    # What is named in the body may be deleted at this moment.
    for path in ("/api/likes", "/api/comments", "/api/follows", "/api/blocks"):
        assert "409" in schema["paths"][path]["post"]["responses"]


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_the_docs_are_served_without_another_server(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert b"https://" not in page.content


def test_an_unknown_page_outside_the_api_is_html(client):
    assert client.get("/nowhere")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("name", ["user", "post", "comment", "like", "follow", "block"])
def test_staff_find_rows_in_the_admin(admin_client, make_member, name):
    call_command("seed_community", members=5, posts=20)
    model = apps.get_model("community", name)
    assert admin_client.get(f"/admin/community/{name}/?q=a").status_code == 200
    row = model.objects.first()
    if row is not None:
        assert admin_client.get(f"/admin/community/{name}/{row.pk}/change/").status_code == 200
    if model is not User:
        assert not admin.site._registry[model].has_change_permission(None)


def test_seeding_twice_changes_nothing(db, capsys):
    call_command("seed_community", members=5, posts=20)
    assert "5 members, 20 posts" in capsys.readouterr().out
    call_command("seed_community", members=9, posts=20)
    assert "nothing was added" in capsys.readouterr().out
    assert User.objects.count() == 5
