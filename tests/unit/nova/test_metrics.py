"""Every metric is Nova's by name, explained, and safe with several processes."""

import pytest
from prometheus_client import Gauge
from prometheus_client.metrics import MetricWrapperBase

from nova import metrics

ALL = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def test_there_are_metrics():
    assert len(ALL) > 15


@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
def test_a_metric_is_named_explained_and_says_nothing_about_people(metric):
    assert metric._name.startswith("nova_")
    assert metric._documentation.endswith(".")
    assert not {"user", "viewer", "member", "post", "author", "ip"} & set(metric._labelnames)
    if isinstance(metric, Gauge):
        assert metric._multiprocess_mode in {"max", "mostrecent", "sum", "min"}
