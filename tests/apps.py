"""Nova's own processes for a test: the web server and both consumers as children, over engines that already run.

    with running_apps(stack_env, var_dir) as apps:
        requests to apps.url …
        apps.process("cdc").kill()
        apps.restart("cdc")

The programs and their arguments are those of production; only the ports are a test's own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedded.ports import assign
from embedded.process import Process
from embedded.service import http_ok

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
STOP_SECONDS = 30.0
# The steps of a deployment, in its order.
STEPS = (["migrate", "--noinput"], ["migrate_clickhouse"], ["migrate_topics"], ["setup_cdc"])
_COMMANDS = {"cdc": "run_cdc_consumer", "events": "run_events_consumer"}
NAMES = ("web", *_COMMANDS)
STREAM = "stream"


def deploy(environment: Mapping[str, str]) -> None:
    """Make every schema, topic and the connector with the commands of a deployment."""
    for step in STEPS:
        command = [sys.executable, "manage.py", *step]
        done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step[0]} failed:\n{done.stdout}{done.stderr}"


class App:
    """One process: its program, its health address, and the child that runs it at the moment."""

    def __init__(self, name: str, argv: Sequence[str], environment: Mapping[str, str], health: str, log: Path) -> None:
        self.name, self.health, self.log = name, health, log
        self._argv, self._environment = list(argv), dict(environment)
        self._child: Process | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.exit_code() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._child is None else self._child.exit_code()

    def start(self) -> None:
        """Start the process; does not wait."""
        assert not self.alive, f"{self.name} runs already"
        self._child = Process(
            self._argv, environment=self._environment, log=self.log, cwd=ROOT, death_signal=signal.SIGTERM
        )

    def wait_healthy(self, seconds: float = START_SECONDS) -> None:
        """Wait until its health address answers 200. Raises AssertionError with its last words otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                raise AssertionError(f"{self.name} ended by itself:\n{self.last_words()}")
            if http_ok(self.health):
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.name} was not healthy within {seconds:.0f} s:\n{self.last_words()}")

    def kill(self) -> None:
        """SIGKILL to the process and all its children; returns when they are gone."""
        if self._child is not None:
            self._child.signal_all(signal.SIGKILL)
            self._child.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP to the whole family: it holds its connections and answers nothing."""
        if self._child is not None:
            self._child.signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        if self._child is not None:
            self._child.signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it is still there after half a minute."""
        if self._child is None:
            return
        self.thaw()
        self._child.signal(signal.SIGTERM)
        self._child.wait(STOP_SECONDS)
        self.kill()

    def last_words(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Apps:
    """The processes by name. `url` is the web server's address, `stream_url` that of the process for event streams,
    without a slash at the end; "" without that process."""

    def __init__(self, apps: Mapping[str, App], url: str, stream_url: str) -> None:
        self._apps, self.url, self.stream_url = dict(apps), url, stream_url

    def process(self, name: str) -> App:
        return self._apps[name]

    def start(self) -> None:
        """Start all at once, then wait until each is healthy."""
        for app in self._apps.values():
            app.start()
        for app in self._apps.values():
            app.wait_healthy()

    def restart(self, name: str) -> None:
        """End the process if it still runs, start it anew and wait until it is healthy."""
        app = self._apps[name]
        app.stop()
        app.start()
        app.wait_healthy()

    def stop(self) -> None:
        for app in reversed(self._apps.values()):
            app.stop()


def make_apps(
    stack_env: Mapping[str, str],
    var_dir: Path,
    names: Sequence[str] = NAMES,
    *,
    overrides: Mapping[str, str] | None = None,
) -> Apps:
    """The processes `names`, not yet started. Logs, ports and collected static files go below `var_dir`.

    stack_env: the settings that name the engines, as the stack gives them; `overrides` are laid over them.
    """
    folder = Path(var_dir)
    folder.mkdir(parents=True, exist_ok=True)
    ports = assign((f"test_{name}" for name in names), folder / "app-ports.json")
    static = folder / "static"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ},
        **stack_env,
        "DJANGO_SETTINGS_MODULE": "nova.settings",
        "STATIC_ROOT": str(static),
        "SECURE_COOKIES": "0",
        "PYTHONUNBUFFERED": "1",
        "STREAM_URL": f"http://127.0.0.1:{ports['test_stream']}" if STREAM in names else "",
        **(overrides or {}),
    }
    apps = {}
    for name in names:
        port, log = ports[f"test_{name}"], folder / "logs" / f"{name}.log"
        base = f"http://127.0.0.1:{port}"
        if name == "web":
            collect_static(environment, static)
            apps[name] = App(name, _web(port, static), environment, f"{base}/readyz", log)
        elif name == STREAM:
            apps[name] = App(name, _stream(port), environment, f"{base}/readyz", log)
        else:
            argv = [sys.executable, "manage.py", _COMMANDS[name]]
            own = {**environment, "HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": str(port)}
            apps[name] = App(name, argv, own, f"{base}/healthz", log)
    return Apps(apps, f"http://127.0.0.1:{ports['test_web']}" if "web" in names else "", environment["STREAM_URL"])


def _web(port: int, static: Path) -> list[str]:
    files = ["--static-path-route", "/static", "--static-path-mount", str(static)]
    return [*_granian("wsgi", port), "--blocking-threads", "8", *files, "nova.wsgi:application"]


def _stream(port: int) -> list[str]:
    options = ["--loop", "asyncio", "--workers-kill-timeout", "10"]
    return [*_granian("asgi", port), *options, "nova.asgi:application"]


def _granian(interface: str, port: int) -> list[str]:
    program = [sys.executable, "-m", "granian", "--interface", interface]
    return [*program, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def collect_static(environment: Mapping[str, str], static: Path) -> None:
    """Fill the folder from which the web server answers /static."""
    static.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"collectstatic failed:\n{done.stderr}"


@contextmanager
def running_apps(
    stack_env: Mapping[str, str],
    var_dir: Path,
    names: Sequence[str] = NAMES,
    *,
    overrides: Mapping[str, str] | None = None,
) -> Iterator[Apps]:
    """The processes `names`, healthy; stopped at the end, whatever happened in between."""
    apps = make_apps(stack_env, var_dir, names, overrides=overrides)
    try:
        apps.start()
        yield apps
    finally:
        apps.stop()
