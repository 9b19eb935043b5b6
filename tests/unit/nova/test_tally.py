"""What is counted many at once is what would have been counted one by one."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from nova.tally import Answered, observe
from tests.client import wait_until


def samples(values: list[float], *, at_once: bool) -> list[tuple[str, dict[str, str], float]]:
    registry = CollectorRegistry()
    histogram = Histogram("some", "Some.", buckets=(0.5, 1, 10), registry=registry)
    if at_once:
        observe(histogram, values)
    else:
        for value in values:
            histogram.observe(value)
    return [
        (one.name, one.labels, one.value)
        for metric in registry.collect()
        for one in metric.samples
        if not one.name.endswith("_created")
    ]


@given(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1, 2, 10, 11])))
def test_many_observed_at_once_are_the_same(values: list[float]) -> None:
    assert samples(values, at_once=True) == samples(values, at_once=False)


def test_every_answer_is_counted_once_from_many_threads() -> None:
    also = Counter("also", "Also.", registry=CollectorRegistry())
    answered = Answered("tally", "http", [also])

    def calls(_: int) -> None:
        for number in range(500):
            answered.count(0.001, 100)
            if number % 50 == 0:
                answered.add_up()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, range(8)))
    answered.add_up()
    assert also._value.get() == 4000
    labels = {"view": "tally", "method": "GET"}
    assert REGISTRY.get_sample_value("django_http_requests_latency_seconds_by_view_method_count", labels) == 4000


def test_it_adds_up_by_itself() -> None:
    also = Counter("also", "Also.", registry=CollectorRegistry())
    answered = Answered("tally", "http", [also])
    for expected in (1, 2):
        answered.count(0.001, 100)
        wait_until(lambda expected=expected: also._value.get() == expected, "the answer in the counter")


def test_without_a_thread_to_spare_it_is_counted_at_once(monkeypatch) -> None:
    """Else nothing would be added up ever after, and what is noted would grow."""

    def refused(_: object) -> None:
        raise RuntimeError("can't start new thread")

    also = Counter("also", "Also.", registry=CollectorRegistry())
    answered = Answered("tally", "http", [also])
    with monkeypatch.context() as patched:
        patched.setattr("nova.tally.Timer.start", refused)
        answered.count(0.001, 100)
    assert also._value.get() == 1
    answered.count(0.001, 100)
    wait_until(lambda: also._value.get() == 2, "the answer in the counter")
