"""What a job is: a name, what it does, when it is due, how long it may take, and the function that does it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError
from redis.exceptions import RedisError

from nova.errors import NovaError, Transient
from nova.metrics import Shared

# What is worth another try of the same run.
TRANSIENT = (Transient, RedisError, OperationalError, InterfaceError)


class OutOfTime(NovaError):
    """The run reached its bound before it was done."""


# Celery raises its own in the middle of whatever the worker is doing.
TOO_LONG = (OutOfTime, SoftTimeLimitExceeded)


@dataclass(frozen=True)
class Run:
    """What a job is given. memory: what its last good run asked to keep; progress: told (done, of how many or None)."""

    dry_run: bool
    deadline: float
    memory: Mapping[str, Any]
    progress: Callable[[int, int | None], None] = lambda done, of: None

    def left(self) -> float:
        """Seconds until the bound. Raises `OutOfTime` when there are none."""
        seconds = self.deadline - monotonic()
        if seconds <= 0:
            raise OutOfTime("it reached the bound of its time")
        return seconds


@dataclass(frozen=True)
class Done:
    """What a job did. items: how much of what it deals with; summary: a sentence for the admin; memory: for the next
    run, None to keep what there was; readings: values for /metrics, which replace those of the run before."""

    items: int
    summary: str
    memory: Mapping[str, Any] | None = None
    readings: Sequence[tuple[Shared, Sequence[str], float]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Job:
    """period: seconds between two runs by default; at: (hour, minute) in UTC of a nightly one; bound: seconds.

    The function only looks, and says what it would do, when `run.dry_run` is set. It may be called twice for the same
    moment and must then do no harm.
    """

    name: str
    does: str
    period: int
    bound: int
    work: Callable[[Run], Done]
    at: tuple[int, int] | None = None

    @property
    def task(self) -> str:
        """The name of its Celery task."""
        return f"jobs.{self.name}"
