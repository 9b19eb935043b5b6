"""What the supervisor needs to know about a part of the stack, whatever it is."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import urllib3

from embedded.process import Account

_http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=1.0, read=2.0))


def http_ok(url: str) -> bool:
    """Whether GET `url` answers 200 within two seconds."""
    try:
        return _http.request("GET", url).status == 200
    except urllib3.exceptions.HTTPError:
        return False


class Service(ABC):
    """One part: how it is made ready, judged healthy and tended; a `Startable` also how it is started and stopped.

    `prepare`, `healthy` and `tend` may block for some seconds and run on any thread; `prepare` may raise StackError.
    """

    name: str
    title: str
    address: str = ""
    health_url: str = ""
    """Where a program that serves HTTP says that it is well."""
    needs: tuple[str, ...] = ()
    one_shot: bool = False
    """A step that runs to its end (exit code 0) each time the stack starts, rather than a server."""
    stop_signal: int = signal.SIGTERM
    stop_grace: float = 10.0
    """Seconds between `stop_signal` and SIGKILL."""
    death_signal: int = signal.SIGKILL
    """Sent by the kernel when the supervisor is gone."""
    start_timeout: float = 90.0
    """Seconds from the start of the process until it must be healthy (of a step: ended)."""
    account: Account | None = None

    def prepare(self) -> None:  # noqa: B027 - most parts need nothing
        """Whatever must be there before the process starts; cheap when it is there already."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it answers as a server of its kind."""

    def tend(self) -> str | None:
        """Called every few seconds while it is up; mends what a restart would not, and says in words what it did."""
        return None


class Startable(Service):
    """A part that is a process of ours."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; asked for after `prepare`."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""


class Outside(Service):
    """A part whose URL came from the environment: it is neither started nor stopped, only asked whether it answers."""

    start_timeout = 15.0

    def __init__(self, name: str, title: str, address: str, healthy: Callable[[], bool]) -> None:
        self.name, self.title, self.address = name, title, address
        self._healthy = healthy

    def healthy(self) -> bool:
        """Whether the server answers."""
        return self._healthy()


class Program(Startable):
    """A process of the application: a management command, a worker, the web server."""

    def __init__(
        self,
        name: str,
        title: str,
        argv: list[str],
        *,
        environment: Mapping[str, str],
        needs: tuple[str, ...] = (),
        health_url: str = "",
        address: str = "",
        one_shot: bool = False,
        wiped: Path | None = None,
        settle: float = 2.0,
        stop_grace: float = 15.0,
        start_timeout: float = 120.0,
    ) -> None:
        """`health_url` must answer 200; without one the process is taken for well once it has run for `settle` seconds.

        `wiped` is a folder that is emptied before each start (metrics of processes that are gone).
        """
        self.name, self.title, self.needs = name, title, needs
        self.address, self.health_url = address or health_url, health_url
        self.one_shot, self.stop_grace, self.start_timeout = one_shot, stop_grace, start_timeout
        # Workers and the web server have children of their own, which only their parent can end.
        self.death_signal = signal.SIGTERM
        self._argv, self._environment, self._wiped = argv, dict(environment), wiped
        self._settle = settle
        self._asked_first: float | None = None

    def prepare(self) -> None:
        """Empty the metrics folder: counts of processes that are gone would be added for ever."""
        self._asked_first = None
        if self._wiped is not None:
            self._wiped.mkdir(parents=True, exist_ok=True)
            for file in self._wiped.iterdir():
                file.unlink()

    def command(self) -> list[str]:
        """As given."""
        return self._argv

    def environment(self) -> dict[str, str]:
        """As given."""
        return self._environment

    def healthy(self) -> bool:
        """Asks the health URL; where there is none, patience is all there is."""
        if self.health_url:
            return http_ok(self.health_url)
        if self._asked_first is None:
            self._asked_first = time.monotonic()
        return time.monotonic() - self._asked_first > self._settle
