"""The breaker's rules, step by step on a clock of the test's own."""

from dataclasses import replace

import pytest

from ranking.breaker import Limits, Local, State, Verdict

HOUR = 3_600_000
LIMITS = Limits(failures=3, window=10_000, open_for=5_000, lease=2_000)


class Steps:
    def __init__(self) -> None:
        self.local, self.now = Local(), 1_000_000

    def __call__(self, act: str, argument: str = "a", *, after: int = 0) -> Verdict:
        self.now += after
        return self.local.step(act, argument, LIMITS, self.now)


@pytest.fixture
def step() -> Steps:
    return Steps()


@pytest.fixture
def opened(step: Steps) -> Steps:
    for _ in range(LIMITS.failures):
        step("fail")
    assert step("look").after is State.OPEN
    return step


def test_it_opens_after_so_many_failures_within_the_window(step: Steps) -> None:
    assert [step("fail").after for _ in range(3)] == [State.CLOSED, State.CLOSED, State.OPEN]


def test_failures_further_apart_than_the_window_do_not_add_up(step: Steps) -> None:
    for _ in range(10):
        step("fail")
        assert step("fail").after is State.CLOSED
        step("look", after=LIMITS.window)


def test_open_it_refuses_until_its_time_is_over(opened: Steps) -> None:
    assert not opened("admit", after=LIMITS.open_for - 1).allowed
    probe = opened("admit", after=1)
    assert (probe.allowed, probe.before, probe.after) == (True, State.OPEN, State.HALF_OPEN)


def test_who_read_the_clock_a_moment_earlier_is_refused_too(opened: Steps) -> None:
    assert not opened("admit", after=-1).allowed
    assert opened("admit", "probe", after=LIMITS.open_for + 1).allowed
    assert not opened("admit", "other", after=-1).allowed


def test_failures_add_up_in_whatever_order_the_clock_was_read(step: Steps) -> None:
    assert [step("fail", after=after).after for after in (0, -1, -1)] == [State.CLOSED, State.CLOSED, State.OPEN]


def test_half_open_it_lets_one_probe_through(opened: Steps) -> None:
    assert opened("admit", "probe", after=LIMITS.open_for).allowed
    assert not any(opened("admit", f"other {number}").allowed for number in range(50))


def test_the_probes_success_closes_it(opened: Steps) -> None:
    opened("admit", "probe", after=LIMITS.open_for)
    assert opened("succeed", "probe").after is State.CLOSED
    assert opened("admit", "other").allowed


def test_the_probes_failure_opens_it_for_another_while(opened: Steps) -> None:
    opened("admit", "probe", after=LIMITS.open_for)
    assert opened("fail", "probe").after is State.OPEN
    assert not opened("admit", after=LIMITS.open_for - 1).allowed
    assert opened("admit", after=1).allowed


def test_a_lost_probe_is_replaced_when_its_lease_is_over(opened: Steps) -> None:
    opened("admit", "lost", after=LIMITS.open_for)
    assert opened("admit", "next", after=LIMITS.lease).allowed
    assert opened("succeed", "lost").after is State.HALF_OPEN
    assert opened("succeed", "next").after is State.CLOSED


def test_late_failures_do_not_keep_it_open_longer(opened: Steps) -> None:
    first = opened("look").opened_at
    late = [opened("fail", after=1_000) for _ in range(LIMITS.failures)]
    assert {verdict.opened_at for verdict in late} == {first}


def test_a_late_success_does_not_close_it(opened: Steps) -> None:
    assert opened("succeed").after is State.OPEN


def test_a_clock_that_is_set_back_keeps_nobody_out(opened: Steps) -> None:
    assert opened("admit", "lost", after=-HOUR).allowed
    assert not opened("admit", "other").allowed
    assert opened("admit", "next", after=-HOUR).allowed
    assert opened("succeed", "next").after is State.CLOSED


def test_failures_before_a_clock_was_set_back_do_not_add_up_with_those_after(step: Steps) -> None:
    step("fail")
    for _ in range(3):
        step("look", after=-HOUR)
        assert step("fail").failures == 1


@pytest.mark.parametrize(("forced", "allowed"), [("open", False), ("closed", True)])
def test_forced_it_stays_as_it_is_held(opened: Steps, forced: str, allowed: bool) -> None:
    opened("force", forced)
    for _ in range(5):
        opened("fail")
        opened("succeed")
    assert opened("admit", after=LIMITS.open_for).allowed is allowed
    released = opened("force", "")
    assert (released.after, released.forced) == (State.CLOSED, "")
    assert opened("admit").allowed


def test_a_probe_keeps_its_lease_for_as_long_as_a_call_can_take(settings) -> None:
    """`why` makes two questions of one deadline each."""
    settings.CLICKHOUSE_DEADLINE = 1
    assert Limits.configured().lease == 5_000
    settings.CLICKHOUSE_DEADLINE = 10
    assert Limits.configured().lease > 20_000


def test_the_next_outage_of_redis_begins_with_what_staff_hold() -> None:
    local = Local()
    local.step("force", "open", LIMITS, 1_000)
    shared = Verdict(True, State.CLOSED, State.CLOSED, "", 0, 0)
    local.follow(shared)
    assert local.step("look", "", LIMITS, 2_000).forced == ""
    local.follow(replace(shared, after=State.OPEN, forced="open", opened_at=3_000))
    assert not local.step("admit", "a", LIMITS, 4_000).allowed
