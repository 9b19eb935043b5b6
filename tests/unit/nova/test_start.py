"""What a process of Nova's takes before it does anything."""

import os
import subprocess
import sys

import pytest

from tests.apps import ROOT

_LOOK = """
import django
django.setup()
from nova import clickhouse
from clickhouse_driver.columns import datecolumn
print(len(datecolumn._date_lut), datecolumn._date_lut[70_000], datecolumn._date_lut_reverse[datecolumn._date_lut[-1]])
"""


def test_the_driver_keeps_few_days_and_finds_the_others() -> None:
    found = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=60)
    days, far, before = found.stdout.split()
    assert int(days) < 10_000
    assert (far, before) == ("2161-08-27", "-1")


def test_a_cluster_holds_no_counts_in_memory() -> None:
    given = {**os.environ, "CLICKHOUSE_CLUSTER": "nova"}
    start = [sys.executable, "-c", "import django; django.setup(); print(django.conf.settings.COUNTS_MEMORY_SECONDS)"]
    found = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given)
    assert float(found.stdout) == 0, found.stderr
    refused = subprocess.run(
        start, capture_output=True, text=True, timeout=60, env={**given, "COUNTS_MEMORY_SECONDS": "15"}
    )
    assert refused.returncode == 1
    assert "COUNTS_MEMORY_SECONDS: cannot be used with CLICKHOUSE_CLUSTER" in refused.stderr


def test_a_port_that_is_none_is_named_with_all_else_that_is_wrong() -> None:
    wrong = {"CLICKHOUSE_URL": "clickhouse://default@127.0.0.1:1/nothing?http_port=abc", "FEED_CH_PERCENT": "200"}
    start = [sys.executable, "-c", "import django; django.setup()"]
    refused = subprocess.run(start, capture_output=True, text=True, timeout=60, env={**os.environ, **wrong})
    assert refused.returncode == 1
    assert "CLICKHOUSE_URL: has an http_port that is no port" in refused.stderr
    assert "FEED_CH_PERCENT" in refused.stderr


def test_no_job_outlives_the_time_after_which_its_message_is_given_to_another() -> None:
    look = (
        "import django; django.setup(); from django.conf import settings; from jobs import registry, tasks;"
        "from nova.celery import app; times = [task.time_limit or 0 for task in app.tasks.values()];"
        "print(settings.CELERY_BROKER_TRANSPORT_OPTIONS['visibility_timeout'], max(times))"
    )
    given = {**os.environ, "JOB_SECONDS": "10"}
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, env=given)
    visible, longest = map(float, found.stdout.split())
    assert visible > longest > 300


def test_a_value_that_begins_with_a_dollar_is_taken_as_it_stands() -> None:
    secret, look = "$ecret-" + 50 * "k", "from django.conf import settings as s; print(s.SECRET_KEY, s.JWT_SECRET)"
    given = {**os.environ, "DJANGO_SECRET_KEY": secret, "JWT_SECRET": "$" + 40 * "j", 40 * "j": "of another"}
    start = [sys.executable, "-c", f"import django; django.setup(); {look}"]
    found = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given)
    assert found.stdout.split() == [secret, "$" + 40 * "j"], found.stderr


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [
        ("CDC_DATABASE_URL", "garbage", {}),
        ("CDC_DATABASE_URL", "postgres://u:p@host:abc/nova", {}),
        ("CDC_DATABASE_URL", "mysql://u:p@host/nova", {}),
        ("REDIS_URL", "redis://127.0.0.1:1/abc", {}),
        ("REDIS_CACHE_URL", "redis://127.0.0.1:1/abc", {}),
        ("KAFKA_SASL_MECHANISM", "", {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}),
        ("KAFKA_SSL_CA", "/nowhere/ca.pem", {"KAFKA_SECURITY_PROTOCOL": "SSL"}),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker.example:port", {}),
        ("KAFKA_BOOTSTRAP_SERVERS", "a.example:9092,http://b.example:9092", {}),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker.example:99999", {}),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example,example.com", {}),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example/", {}),
        ("ALLOWED_HOSTS", "https://a.example", {}),
        ("ALLOWED_HOSTS", "a.example,b.example:8000", {}),
        ("ALLOWED_HOSTS", "[::1]:8000", {}),
        ("CDC_SLOT", "Nova-CDC", {}),
        ("SNAPSHOT_SOFT_SECONDS", "900", {}),
    ],
)
def test_what_no_part_could_use_is_named_at_the_start(name: str, value: str, beside: dict[str, str]) -> None:
    start = [sys.executable, "-c", "import django; django.setup()"]
    given = {**os.environ, **beside, name: value}
    refused = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given)
    assert (refused.returncode, f"- {name}: " in refused.stderr) == (1, True), refused.stderr


@pytest.mark.parametrize("command", ["run_events_consumer", "migrate"])
def test_a_command_names_wrong_settings_and_nothing_else(command: str) -> None:
    """With a code of its own: who starts a process again after an error need not try after this one."""
    start, given = [sys.executable, "manage.py", command], {**os.environ, "LIMIT_FEED": "0", "DEMO": "maybe"}
    refused = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given, cwd=ROOT)
    assert refused.returncode == 78, refused.stderr
    assert ("- LIMIT_FEED: " in refused.stderr, "- DEMO: " in refused.stderr) == (True, True)
    assert "Traceback" not in refused.stderr


def test_large_bounds_are_named_as_they_are_typed() -> None:
    start = [sys.executable, "-c", "import django; django.setup()"]
    given = {**os.environ, "LIMIT_FEED": "0"}
    refused = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given)
    assert "- LIMIT_FEED: is '0'. Set it to a number from 1 to 10000000" in refused.stderr


@pytest.mark.parametrize(
    "given",
    [
        {"KAFKA_BOOTSTRAP_SERVERS": "a.example:9092, b.example,SASL_SSL://c.example:9093,10.0.0.1:9092,[::1]:9092"},
        {"ALLOWED_HOSTS": "a.example,.b.example,10.0.0.1,[::1]"},
        {"CSRF_TRUSTED_ORIGINS": "https://a.example,https://*.b.example,http://localhost:8000,http://[::1]:8000"},
    ],
)
def test_what_can_be_used_is(given: dict[str, str]) -> None:
    start = [sys.executable, "-c", "import django; django.setup()"]
    found = subprocess.run(start, capture_output=True, text=True, timeout=60, env={**os.environ, **given})
    assert found.returncode == 0, found.stderr


def test_a_cache_is_not_asked_for_where_the_other_redis_is_wrong() -> None:
    start = [sys.executable, "-c", "import django; django.setup()"]
    given = {**os.environ, "REDIS_URL": "nonsense", "REDIS_CACHE_URL": ""}
    refused = subprocess.run(start, capture_output=True, text=True, timeout=60, env=given)
    assert "- REDIS_URL: " in refused.stderr
    assert "REDIS_CACHE_URL" not in refused.stderr


def test_options_of_the_database_drop_no_time_limit() -> None:
    look = "import django; django.setup(); print(django.conf.settings.DATABASES['default']['OPTIONS']['options'])"
    given = {**os.environ, "DATABASE_URL": f"{os.environ['DATABASE_URL']}?options=-c%20search_path%3Dnova"}
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, env=given)
    assert found.stdout.strip() == "-c statement_timeout=30000 -c search_path=nova", found.stderr
