"""Metrics that no process owns: named, explained, read at the scrape, and silent while their source is."""

import pytest
from django.test import RequestFactory
from prometheus_client import generate_latest

from nova import metrics
from nova.metrics import Shared

ALL = [value for value in vars(metrics).values() if isinstance(value, Shared)]


@pytest.fixture
def source(monkeypatch):
    def use(read):
        monkeypatch.setattr(metrics._shared, "read", read)

    return use


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_shared_metric_is_named_explained_and_says_nothing_about_people(metric):
    assert metric.name.startswith("nova_")
    assert metric.documentation.endswith(".")
    assert not {"user", "viewer", "member", "post", "author", "ip"} & set(metric.labels)


def test_values_come_at_the_scrape(source):
    source(lambda: [(metrics.JOB_RUNS, ["warmer", "done"], 3), (metrics.JOB_RUNS, ["warmer", "failed"], 1)])
    said = generate_latest(metrics.SHARED).decode()
    assert 'nova_job_runs_total{job="warmer",outcome="done"} 3.0' in said
    assert 'nova_job_runs_total{job="warmer",outcome="failed"} 1.0' in said


def test_the_other_metrics_are_told_while_the_source_does_not_answer(source):
    def broken():
        yield metrics.JOB_RUNNING, ["warmer"], 1
        raise OSError("no database")

    source(broken)
    said = metrics.metrics(RequestFactory().get("/metrics")).content.decode()
    assert "nova_job_running" not in said
    assert "nova_feed_answers" in said


def test_every_process_folder_tells_them_too(source, monkeypatch, tmp_path):
    source(lambda: [(metrics.JOB_RUNNING, ["warmer"], 1)])
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    said = metrics.metrics(RequestFactory().get("/metrics")).content.decode()
    assert 'nova_job_running{job="warmer"} 1.0' in said
