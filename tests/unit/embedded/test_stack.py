import re
import socket
import stat
from pathlib import Path

import pytest

from embedded import credentials, jars, preflight, stack
from embedded.errors import StackError
from embedded.paths import ROOT
from embedded.service import Outside
from embedded.stack import ENGINES, plan, without_password

STEPS = ["static", "migrate", "clickhouse-schema", "topics", "cdc-connector"]


@pytest.fixture(autouse=True)
def _nothing_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in ENGINES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("REDIS_CACHE_URL", raising=False)


def test_all_parts_and_what_settings_read(tmp_path: Path) -> None:
    laid_out = plan(tmp_path, demo=True)
    names = [service.name for service in laid_out.services]
    assert names[:5] == ["postgres", "redis", "clickhouse", "kafka", "connect"]
    assert [service.name for service in laid_out.services if service.one_shot] == [*STEPS, "seed"]
    assert all(set(service.needs) <= set(names) for service in laid_out.services)
    env = laid_out.env
    assert env["REDIS_URL"].endswith("/0")
    assert env["REDIS_CACHE_URL"] == env["REDIS_URL"][:-1] + "1"
    assert env["DEMO"] == "1"
    assert len(env["DJANGO_SECRET_KEY"]) >= 50
    assert f"http://localhost:{laid_out.ports['web']}" in env["CSRF_TRUSTED_ORIGINS"]


def test_a_second_plan_is_the_same(tmp_path: Path) -> None:
    assert plan(tmp_path).env == plan(tmp_path).env


def test_engines_only(tmp_path: Path) -> None:
    assert len(plan(tmp_path, apps=False).services) == 5


def test_a_part_named_by_the_environment_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:pw@cache.example:6379/3")
    laid_out = plan(tmp_path, apps=False)
    outside = [service for service in laid_out.services if isinstance(service, Outside)]
    assert [(service.name, service.address) for service in outside] == [("redis", "redis://cache.example:6379/3")]
    assert laid_out.env["REDIS_URL"] == "redis://:pw@cache.example:6379/3"
    assert laid_out.env["REDIS_CACHE_URL"] == "redis://:pw@cache.example:6379/1"


def test_connect_works_for_a_kafka_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    connect = next(service for service in plan(tmp_path, apps=False).services if service.name == "connect")
    assert connect._properties()["bootstrap.servers"] == "broker.example:9092"  # type: ignore[attr-defined]


def test_an_outside_part_that_is_away_does_not_answer() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        urls = {
            "postgres": f"postgres://u:p@127.0.0.1:{port}/d",
            "redis": f"redis://127.0.0.1:{port}/0",
            "clickhouse": f"clickhouse://default:@127.0.0.1:{port}/d?http_port={port}",
            "connect": f"http://127.0.0.1:{port}",
        }
        assert not any(stack.ENGINES[name][1](url) for name, url in urls.items())


def test_passwords_are_not_shown() -> None:
    assert without_password("postgres://nova:secret@db:5432/nova") == "postgres://db:5432/nova"
    assert without_password("a:9092,b:9092") == "a:9092,b:9092"


def test_secrets_are_private_kept_and_completed(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = credentials.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials.load(path) == first
    path.write_text('{"redis": "kept"}')
    second = credentials.load(path)
    assert (second.redis, second.postgres != first.postgres) == ("kept", True)


def test_every_jar_is_locked_by_hash() -> None:
    locked = jars._locked()
    assert len(locked) > 50
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in locked)
    names = {path.name for path, _ in locked}
    wanted = re.findall(r'"[\w.-]+:([\w.-]+:[\w.]+)"', jars.SPECIFICATION.read_text())
    assert len(wanted) == 5
    assert {f"{coordinate.replace(':', '-')}.jar" for coordinate in wanted} <= names


def test_too_little_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(preflight.ANYWAY, raising=False)
    with pytest.raises(StackError, match="not enough disk space"):
        preflight.check(tmp_path / "not" / "there" / "yet", disk=1e9, memory=0)
    with pytest.raises(StackError, match="not enough memory"):
        preflight.check(tmp_path, disk=0, memory=1e9)
    monkeypatch.setenv(preflight.ANYWAY, "1")
    preflight.check(tmp_path, disk=1e9, memory=1e9)


def test_no_registry_is_named_in_the_lock_files() -> None:
    texts = [path.read_text() for path in (ROOT / "requirements").glob("*.txt")] + [jars.LOCK.read_text()]
    assert not any("http://" in text or "https://" in text for text in texts)
