"""The breaker's state in a real Redis: the same rules as in one process, and one probe among many threads."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from nova import redis
from nova.errors import Transient
from ranking import breaker as module
from ranking.breaker import Breaker, Limits, Local, Refused, State
from ranking.models import BreakerEvent
from tests.apps import ROOT
from tests.client import wait_until

pytest_plugins = ["tests.ranking_fixtures"]


@pytest.fixture
def limits(settings) -> None:
    settings.BREAKER_FAILURES, settings.BREAKER_WINDOW_SECONDS, settings.BREAKER_OPEN_SECONDS = 3, 600, 600


@pytest.fixture
def breaker(limits: None, patient: None, monkeypatch):
    """A breaker of the test's own, whose history is a list."""
    monkeypatch.setattr(module.breaker_history, "note", lambda *given, **named: None)
    made = Breaker(f"test-{uuid4().hex[:8]}")
    yield made
    redis.durable().delete(made.key)


def fail() -> None:
    raise Transient("nobody answers")


def open_it(breaker: Breaker) -> None:
    for _ in range(3):
        with pytest.raises(Transient, match="nobody answers"):
            breaker.call(fail)
    assert breaker.look().after is State.OPEN


def its_time_is_over(breaker: Breaker) -> None:
    redis.durable().hset(breaker.key, "opened_at", 0)


def test_open_it_calls_nobody(breaker: Breaker) -> None:
    assert breaker.call(lambda: 1) == 1
    open_it(breaker)
    with pytest.raises(Refused):
        breaker.call(lambda: pytest.fail("it was called"))


def test_its_state_is_everyones(breaker: Breaker) -> None:
    open_it(breaker)
    with pytest.raises(Refused):
        Breaker(breaker.name).call(fail)


class Caller:
    """A process of its own that makes calls through a breaker when it is told."""

    def __init__(self, name: str, **numbers: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.breaker_process", name],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "nova.settings", **numbers},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, kind: str) -> None:
        assert self._child.stdin
        print(kind, file=self._child.stdin, flush=True)

    def hear(self) -> str:
        assert self._child.stdout
        return self._child.stdout.readline().strip()

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.fixture
def four(breaker: Breaker, settings) -> Iterator[list[Caller]]:
    """Four processes around the breaker, which opens at four failures in all."""
    settings.BREAKER_FAILURES = 4
    numbers = {"BREAKER_FAILURES": "4", "BREAKER_WINDOW_SECONDS": "600", "BREAKER_OPEN_SECONDS": "600"}
    callers = [Caller(breaker.name, **numbers) for _ in range(4)]
    try:
        assert [caller.hear() for caller in callers] == ["ready"] * 4
        yield callers
    finally:
        for caller in callers:
            caller.end()


def all_at_once(callers: list[Caller], kind: str) -> list[str]:
    for caller in callers:
        caller.tell(kind)
    return [caller.hear() for caller in callers]


def test_four_processes_have_one_state(breaker: Breaker, four: list[Caller]) -> None:
    """Case 57: none opens again what another has closed, or counts alone."""
    said = [all_at_once([caller], "bad") for caller in four]
    assert said == [["called closed"], ["called closed"], ["called closed"], ["called open"]]
    assert all_at_once(four, "good") == ["refused open"] * 4
    its_time_is_over(breaker)
    said = all_at_once(four, "good")
    # Who is refused came while the one probe went on; it has closed for all by now.
    assert "called closed" in said
    assert not [one for one in said if one.endswith(" open")]
    assert all_at_once(four, "good") == ["called closed"] * 4
    # What went wrong before is no failure any more: it takes four again.
    assert all_at_once(four[:3], "bad") == ["called closed"] * 3
    assert all_at_once(four[3:], "bad") == ["called open"]
    its_time_is_over(breaker)
    assert all_at_once(four[:1], "bad") == ["called open"]
    assert all_at_once(four, "good") == ["refused open"] * 4


def test_fifty_threads_send_one_probe(breaker: Breaker) -> None:
    open_it(breaker)
    its_time_is_over(breaker)
    probed, refused, start, done = [], [], threading.Barrier(50), threading.Event()

    def probe() -> None:
        probed.append(1)
        done.wait(60)

    def ask(_: int) -> None:
        start.wait()
        try:
            breaker.call(probe)
        except Refused:
            refused.append(1)
            if len(refused) == 49:
                done.set()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(ask, range(50)))
    assert (len(probed), len(refused)) == (1, 49)
    assert breaker.look().after is State.CLOSED


def test_what_is_held_outlasts_an_emptied_cache(breaker: Breaker) -> None:
    breaker.force("open", by="staff", reason="a test")
    redis.cache().flushdb()
    verdict = breaker.look()
    assert (verdict.after, verdict.forced, verdict.shared) == (State.OPEN, "open", True)


def test_calls_do_not_wait_for_each_other(breaker: Breaker) -> None:
    together = threading.Barrier(20)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: breaker.call(lambda: together.wait(60)), range(20)))


def test_a_failed_probe_opens_it_again_and_an_unfinished_one_is_replaced(breaker: Breaker) -> None:
    open_it(breaker)
    its_time_is_over(breaker)
    with pytest.raises(Transient, match="nobody answers"):
        breaker.call(fail)
    assert breaker.look().after is State.OPEN
    its_time_is_over(breaker)
    redis.durable().hset(breaker.key, mapping={"state": "half_open", "probe": "lost", "probe_until": 0})
    assert breaker.call(lambda: "back") == "back"
    assert breaker.look().after is State.CLOSED


@pytest.mark.parametrize(
    "begun_later",
    [{"state": "open", "opened_at": 10**14}, {"state": "half_open", "probe": "lost", "probe_until": 10**14}],
)
def test_a_clock_that_is_set_back_keeps_nobody_out(breaker: Breaker, begun_later: dict) -> None:
    """By Redis' clock, which another server's may follow that is behind."""
    open_it(breaker)
    redis.durable().hset(breaker.key, mapping=begun_later)
    assert breaker.call(lambda: "back") == "back"
    assert breaker.look().after is State.CLOSED
    redis.durable().hset(breaker.key, mapping={"failures": 2, "window_at": 10**14})
    with pytest.raises(Transient, match="nobody answers"):
        breaker.call(fail)
    assert breaker.look().failures == 1


def test_redis_and_one_process_follow_the_same_rules(breaker: Breaker) -> None:
    local, limits = Local(), Limits.configured()
    acts = ["admit a", "fail a", "fail b", "look ", "fail a", "admit a", "succeed a", "fail c", "force open", "admit a"]
    acts += [
        "fail a",
        "succeed a",
        "force closed",
        "fail a",
        "fail a",
        "fail a",
        "admit b",
        "force ",
        "admit a",
        "look ",
    ]
    for line in acts:
        act, _, argument = line.partition(" ")
        here, there = local.step(act, argument, limits, 10**12), breaker._step(act, argument, "")
        assert (here.allowed, here.before, here.after, here.forced, here.failures) == (
            there.allowed,
            there.before,
            there.after,
            there.forced,
            there.failures,
        ), line


@pytest.fixture
def staff(db, django_user_model):
    def make(*permissions: str) -> Client:
        user = django_user_model.objects.create_user(username=f"staff-{uuid4().hex[:8]}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.mark.django_db(transaction=True)
def test_staff_see_the_state_and_force_it(limits: None, patient: None, staff) -> None:
    redis.durable().delete(module.clickhouse.key)
    looking, acting = staff("view_breakerevent"), staff("view_breakerevent", "force_breaker")
    page, force = "/admin/ranking/breakerevent/", "/admin/ranking/breakerevent/force"
    assert b"Hold open" not in looking.get(page).content
    assert b"Hold open" in acting.get(page).content
    assert looking.post(force, {"state": "open"}).status_code == 403
    assert staff("force_breaker").post(force, {"state": "open"}).status_code == 403
    assert acting.get(force).status_code == 405
    assert acting.post(force, {"state": "ajar"}).status_code == 403

    try:
        assert acting.post(force, {"state": "open"}).status_code == 302
        with pytest.raises(Refused):
            module.clickhouse.call(lambda: None)
        # What other tests made the breaker do may be written down late.
        by_staff = BreakerEvent.objects.filter(by__startswith="staff-")
        (event,) = wait_until(lambda: list(by_staff.all()), "the history")
        assert (event.before, event.after) == ("closed", "open")
        assert b"held so by staff" in looking.get(page).content
        acting.post(force, {"state": ""})
        assert module.clickhouse.call(lambda: 7) == 7
        wait_until(lambda: by_staff.count() == 2, "the history of the release")
    finally:
        redis.durable().delete(module.clickhouse.key)


def test_forcing_needs_a_csrf_token(staff) -> None:
    client = staff("view_breakerevent", "force_breaker")
    client.handler.enforce_csrf_checks = True
    assert client.post("/admin/ranking/breakerevent/force", {"state": "open"}).status_code == 403


def test_a_hold_goes_with_the_outage_it_was_made_in_and_stays_through_the_others(breaker: Breaker, monkeypatch) -> None:
    ask, is_away = module.cache.ask, True

    def without_redis(call, otherwise, door=module.cache.redis):
        return otherwise if is_away and door is module.cache.durable else ask(call, otherwise, door)

    monkeypatch.setattr(module.cache, "ask", without_redis)
    assert not breaker.force("open", by="ann", reason="outage").shared
    is_away = False
    assert breaker.call(lambda: 1) == 1
    is_away = True
    assert breaker.call(lambda: 2) == 2
    is_away = False
    assert breaker.force("open", by="ann", reason="maintenance").shared
    is_away = True
    with pytest.raises(Refused):
        breaker.call(lambda: pytest.fail("it was called"))
