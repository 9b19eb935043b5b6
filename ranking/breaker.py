"""The breaker around ClickHouse: when it fails too often it is left alone, and one probe at a time asks if it is back.

    closed ── BREAKER_FAILURES within BREAKER_WINDOW_SECONDS ──► open ── after BREAKER_OPEN_SECONDS ──► half open
    half open: one caller holds the lease of the probe, the others are refused; success closes, failure opens again.

The state is one for all processes, a hash in Redis changed by one script on the server's clock: in the Redis that keeps
what it was told, since what staff force must outlast an emptied cache. While it is gone each process keeps its own by
the same rules. Staff may force it open or closed. Nothing is locked while a call runs.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache as once
from pathlib import Path
from time import time
from typing import Any, TypeVar

from django.conf import settings

from nova import metrics
from nova.errors import NovaError, Transient
from ranking import breaker_history, cache

T = TypeVar("T")
_SCRIPT = Path(__file__).with_name("breaker.lua").read_text()
# A probe that neither succeeds nor fails (its process was killed) blocks the next one no longer than this, or than any
# probe can take: a call has a deadline, `why` two after each other.
_LEASE_SECONDS = 5
# Within a process the clock is read before the lock is had, so that the times of two callers may come in the other
# order; by so much (ms), and by more only when the clock was set back.
_READ_APART = 1000


class State(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"

    @property
    def label(self) -> str:
        return self.replace("_", " ")


_GAUGE = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Refused(Transient):
    """The breaker is open: nothing was asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to open, how long to stay so, and how long a probe holds its lease; times in milliseconds."""

    failures: int
    window: int
    open_for: int
    lease: int = _LEASE_SECONDS * 1000

    @classmethod
    def configured(cls) -> "Limits":
        return cls(
            settings.BREAKER_FAILURES,
            settings.BREAKER_WINDOW_SECONDS * 1000,
            settings.BREAKER_OPEN_SECONDS * 1000,
            lease=round(1000 * max(_LEASE_SECONDS, 2 * settings.CLICKHOUSE_DEADLINE + 1)),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one step found and did. allowed: a call may be made; opened_at: Unix milliseconds, 0 when never; shared: the
    state is everyone's."""

    allowed: bool
    before: State
    after: State
    forced: str
    failures: int
    opened_at: int
    shared: bool = True

    @property
    def opened(self) -> datetime | None:
        """When it opened last, or was forced."""
        return datetime.fromtimestamp(self.opened_at / 1000, UTC) if self.opened_at else None


class Local:
    """The same rules within one process; breaker.lua says them for Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fields: dict[str, Any] = {}

    def step(self, act: str, argument: str, limits: Limits, now: int) -> Verdict:
        """act: look, admit, succeed, fail, force; argument: the caller's token, or what to force ("" to release)."""
        with self._lock:
            return self._step(act, argument, limits, now)

    def follow(self, shared: Verdict) -> None:
        """Begin the next outage of Redis with what staff hold for everyone now, and with nothing else."""
        held = {"forced": shared.forced, "opened_at": shared.opened_at} if shared.forced else {}
        if self.fields != held:
            with self._lock:
                self.fields = held

    def _step(self, act: str, argument: str, limits: Limits, now: int) -> Verdict:
        fields = self.fields
        forced = fields.get("forced", "")
        state = State(fields.get("state", State.CLOSED))
        before = State(forced or state)
        refused = False
        if act == "force":
            fields.clear()
            forced, state = argument, State.CLOSED
            if argument:
                fields.update(forced=argument, opened_at=now)
        elif act != "look" and not forced:
            after = getattr(self, f"_{act}")(state, argument, limits, now)
            refused, state = after is None, after or state
        after = State(forced or state)
        return Verdict(
            not refused and after is not State.OPEN,
            before,
            after,
            forced,
            int(fields.get("failures", 0)),
            int(fields.get("opened_at", 0)),
            shared=False,
        )

    def _admit(self, state: State, token: str, limits: Limits, now: int) -> State | None:
        """None: another holds the probe, or it is too early for one."""
        fields = self.fields
        if state is State.CLOSED:
            return state
        lasts = limits.open_for if state is State.OPEN else limits.lease
        until = fields["opened_at"] + lasts if state is State.OPEN else fields["probe_until"]
        # What ends later than it can was begun before the clock was set back.
        if now < until <= now + lasts + _READ_APART:
            return None
        fields.update(state=State.HALF_OPEN, probe=token, probe_until=now + limits.lease)
        return State.HALF_OPEN

    def _succeed(self, state: State, token: str, limits: Limits, now: int) -> State:
        if state is State.HALF_OPEN and self.fields["probe"] == token:
            self.fields.clear()
            return State.CLOSED
        return state

    def _fail(self, state: State, token: str, limits: Limits, now: int) -> State:
        fields = self.fields
        if state is State.HALF_OPEN and fields["probe"] == token:
            fields.update(state=State.OPEN, opened_at=now, failures=0)
            return State.OPEN
        if state is not State.CLOSED:
            return state
        if not -_READ_APART <= now - fields.get("window_at", 0) < limits.window:
            fields.update(window_at=now, failures=0)
        fields["failures"] += 1
        if fields["failures"] < limits.failures:
            return state
        fields.update(state=State.OPEN, opened_at=now, failures=0)
        return State.OPEN


class Breaker:
    """A breaker by name. `call` is for callers, `look` and `force` are for staff."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._local = Local()

    @property
    def key(self) -> str:
        """The Redis key of the hash."""
        return f"breaker:v1:{self.name}"

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns. Raises `Refused` without calling it, or what it raises, which is a failure."""
        token = secrets.token_hex(8)
        admitted = self._step("admit", token, "the time to be left alone is over")
        if not admitted.allowed:
            raise Refused(f"{self.name} is left alone at the moment")
        try:
            result = function()
        except Exception as error:
            self._step("fail", token, str(error) if isinstance(error, NovaError) else type(error).__name__)
            raise
        if admitted.after is not State.CLOSED:
            self._step("succeed", token, "the probe succeeded")
        return result

    def look(self) -> Verdict:
        """The state now."""
        return self._step("look", "", "")

    def force(self, state: str, *, by: str, reason: str) -> Verdict:
        """Hold it "open" or "closed", or let it go with "" (it is then closed). For everyone; for this process alone
        while Redis is gone, as the verdict says."""
        return self._step("force", state, reason, by=by)

    def forget(self) -> None:
        """Drop this process's own state."""
        self._local = Local()

    def _step(self, act: str, argument: str, reason: str, by: str = "") -> Verdict:
        limits = Limits.configured()
        numbers = (limits.failures, limits.window, limits.open_for, limits.lease)
        found: Any = cache.ask(
            lambda redis: _script()([self.key], [act, argument, *numbers], client=redis), None, door=cache.durable
        )
        if found is None:
            verdict = self._local.step(act, argument, limits, int(time() * 1000))
        else:
            allowed, before, after, forced, failures, opened_at = found
            verdict = Verdict(
                bool(allowed), State(before.decode()), State(after.decode()), forced.decode(), failures, opened_at
            )
            self._local.follow(verdict)
        metrics.BREAKER_STATE.labels(self.name).set(_GAUGE[verdict.after])
        if verdict.before is not verdict.after:
            metrics.BREAKER_TRANSITIONS.labels(self.name, verdict.after).inc()
        if verdict.before is not verdict.after or by:
            breaker_history.note(self.name, verdict.before, verdict.after, reason=reason, by=by)
        return verdict


clickhouse = Breaker("clickhouse")


@once
def _script() -> Any:
    return cache.durable().register_script(_SCRIPT)
