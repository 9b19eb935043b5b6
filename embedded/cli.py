"""The command line: up, down, status, logs, run, demo."""

import argparse
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from embedded.errors import StackError
from embedded.paths import ROOT, default_var
from embedded.process import Identity, send
from embedded.record import Record, clean
from embedded.runner import Runner, lock, log_to_file
from embedded.service import http_ok
from embedded.stack import ENGINES, MADE_HERE, plan
from embedded.start import checked_plan, prepare, say_tidy, where
from embedded.unprivileged import STAGING
from embedded.view import StartView, table

EXIT_CODES = """exit codes:
  0  done
  1  it failed; the message says why and what to do
  2  the command line is wrong
  3  status, run, logs: no stack runs here
  4  status: it runs, but not every part is well
  run ends with the code of its command

NOVA_VAR chooses the data folder (default: var); each folder is a stack of its own."""
STOP_SECONDS = 90.0
# As long as a single step of a start may take.
SETTLE_SECONDS = 600.0
# What is wrong with a folder, and not with us.
_NO_PLACE = (
    *(errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENOSPC, errno.EDQUOT),
)

console = Console()
complaints = Console(stderr=True)


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return int(given.act(given))
    except StackError as error:
        return _complain(error)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        hint = "The data must lie in a folder that this user may write, on a disk with space. Choose another:"
        place = error.filename or "the data folder"
        return _complain(StackError(f"{place}: {error.strerror}", f"{hint} NOVA_VAR=var-mine"))
    except KeyboardInterrupt:
        return 130


def _complain(error: StackError) -> int:
    complaints.print(f"[red]{escape(error.message)}[/]", highlight=False, soft_wrap=True)
    if error.hint:
        complaints.print(escape(error.hint), highlight=False, soft_wrap=True)
    return 1


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m embedded", description=__doc__, epilog=EXIT_CODES, formatter_class=form)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start everything in the background and return when it is well")
    up.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops everything")
    up.add_argument("--engines-only", action="store_true", help="PostgreSQL, Redis, ClickHouse, Kafka and Connect only")
    up.set_defaults(act=_up)
    down = commands.add_parser("down", help="stop everything; safe to call twice")
    down.add_argument("--wipe", action="store_true", help="also delete its data")
    down.set_defaults(act=_down)
    status = commands.add_parser("status", help="a table of all parts")
    status.set_defaults(act=_status)
    logs = commands.add_parser("logs", help="the log of one part, or of the supervisor")
    logs.add_argument("name", nargs="?", default="supervisor")
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing what is added")
    logs.add_argument("-n", "--lines", type=int, default=50, help="how many lines to begin with (50)")
    logs.set_defaults(act=_logs)
    run = commands.add_parser("run", help="run a command with the environment of the running stack: run -- CMD …")
    run.add_argument("--planned", action="store_true", help="also when none runs: with what it would have")
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(act=_run)
    demo = commands.add_parser("demo", help="everything and a simulated community, in the foreground")
    demo.set_defaults(act=_demo)
    return parser


def _up(given: argparse.Namespace) -> int:
    var, apps = default_var(), not given.engines_only
    if given.foreground:
        return _foreground(var, apps=apps)
    running = _settled(var)
    if running.supervisor_alive():
        if apps and "web" not in running.parts:
            raise StackError("only the engines run here", "make down first, then make up")
        console.print("already up")
        where(running, console)
        return 0
    prepare(var, console)
    record = _background(var, [] if apps else ["--engines-only"])
    if record is None:
        return _up(given)
    where(record, console)
    return 0


def _settled(var: Path) -> Record:
    """What runs here, once whoever is just starting or stopping it has done so. Raises StackError when that takes too
    long."""
    record = Record.read(var)
    if record.supervisor_alive() and record.state != "up":
        until = time.monotonic() + SETTLE_SECONDS
        with StartView(console) as view:
            view.take_as_said(record)
            while record.supervisor_alive() and record.state != "up":
                if time.monotonic() > until:
                    said = f"the stack in {var} is still {record.state} after {SETTLE_SECONDS:.0f} s"
                    raise StackError(said, "make status shows what it waits for, make down stops it")
                view.show(record)
                time.sleep(0.1)
                record = Record.read(var)
    return record


def _background(var: Path, options: list[str]) -> Record | None:
    """Start a supervisor of its own session and watch its record until the stack is up; None when another start was
    quicker. Raises StackError when it fails."""
    (var / "log").mkdir(parents=True, exist_ok=True)
    log = var / "log" / "supervisor.log"
    before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        command = [sys.executable, "-m", "embedded", "up", "--foreground", *options]
        environment = os.environ | {"NOVA_VAR": str(var), "NO_COLOR": "1"}
        daemon = subprocess.Popen(
            *(command,),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it says the same to its log
            stderr=output,
            start_new_session=True,
        )
    # Ended in either way, it leaves nothing behind.
    until_now = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with StartView(console) as view:
            while True:
                ended = daemon.poll() is not None
                record = Record.read(var)
                if record.supervisor.get("pid") == daemon.pid:
                    view.show(record)
                    if record.state == "up":
                        return record
                    if record.state == "failed" and ended:
                        raise StackError(record.message)
                if ended and record.supervisor_alive():
                    return None
                if ended:
                    said = log.read_bytes()[before:].decode(errors="replace").splitlines()[-10:]
                    raise StackError("the supervisor ended before the stack was up", "\n".join(said))
                time.sleep(0.1)
    except KeyboardInterrupt:
        daemon.terminate()
        daemon.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, until_now)


def _foreground(var: Path, *, apps: bool) -> int:
    with lock(var):
        prepare(var, console)
        log_to_file(var)
        say_tidy(var, console)
        with StartView(console) as view:
            Runner(checked_plan(var, apps=apps), view.show).run()
    return 0


def _down(given: argparse.Namespace) -> int:
    var = default_var()
    record = Record.read(var)
    if record.supervisor_alive():
        supervisor = Identity(record.supervisor["pid"], record.supervisor["started"])
        send(supervisor, signal.SIGTERM)
        # A demo that was suspended (Ctrl-Z) could not stop anything.
        send(supervisor, signal.SIGCONT)
        until = time.monotonic() + STOP_SECONDS
        with StartView(console) as view:
            view.take_as_said(record)
            while supervisor.alive() and time.monotonic() < until:
                view.show(Record.read(var))
                time.sleep(0.1)
        if supervisor.alive():
            console.print("the supervisor did not end in time and is killed")
            send(supervisor, signal.SIGKILL)
        record = Record.read(var)
        console.print("stopped")
    elif not record.leftovers():
        console.print("nothing runs here")
    if left := clean(record):
        console.print(f"ended {left} processes that a killed supervisor had left behind")
    if record.var and record.state not in ("stopped", "failed"):
        record.state, record.parts = "stopped", {}
        record.write()
    if given.wipe:
        _wipe(var)
    return 0


def _wipe(var: Path) -> None:
    if not (var / "secrets.json").exists():
        raise StackError(f"{var} is not the data folder of a stack; nothing was deleted")
    staging = var / STAGING
    if staging.is_symlink():
        shutil.rmtree(staging.resolve(), ignore_errors=True)
    for entry in (var / name for name in MADE_HERE):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink(missing_ok=True)
    console.print(f"deleted the data in {var}")


def running_record() -> Record | None:
    """The record of the stack that runs here; None, and a word about it, when none does."""
    record = Record.read(default_var())
    if record.supervisor_alive():
        return record
    console.print("no stack runs here: make up, or make demo")
    return None


def _status(given: argparse.Namespace) -> int:
    record = running_record()
    if record is None:
        return 3
    answers = ask(record)
    console.print(table(record, answers))
    well = all(part["state"] in ("up", "done", "outside") for part in record.parts.values())
    return 0 if well and all(answers.values()) else 4


def ask(record: Record) -> dict[str, bool]:
    """Which of the parts that are up answer right now; parts that nobody can ask are left out."""
    asked = {}
    with ThreadPoolExecutor(len(record.parts) + 1) as pool:
        for name, part in record.parts.items():
            if part["state"] not in ("up", "outside"):
                continue
            if name in ENGINES:
                variable, answers = ENGINES[name]
                asked[name] = pool.submit(answers, record.env[variable])
            elif part["health"]:
                asked[name] = pool.submit(http_ok, part["health"])
    return {name: future.result() for name, future in asked.items()}


def _logs(given: argparse.Namespace) -> int:
    folder = default_var() / "log"
    path = folder / f"{given.name}.log"
    if not path.exists():
        known = sorted(file.stem for file in folder.glob("*.log")) if folder.exists() else []
        console.print(f"no log of {given.name}; there are: {', '.join(known) or 'none'}")
        return 3
    options = ["-n", str(given.lines), *(["-F"] if given.follow else [])]
    try:
        return subprocess.call(["tail", *options, str(path)])
    except KeyboardInterrupt:
        return 0


def _run(given: argparse.Namespace) -> int:
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        raise StackError("run needs a command", "For example: python -m embedded run -- python manage.py shell")
    if given.planned and not Record.read(default_var()).supervisor_alive():
        env = plan(default_var()).env
    elif record := running_record():
        env = record.env
    else:
        return 3
    from embedded.engines.postgres import package_folder

    psql = package_folder() / "pginstall18" / "bin"
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:{psql}"
    try:
        os.execvpe(command[0], command, os.environ | env | {"PATH": path})
    except OSError as error:
        raise StackError(f"cannot run {command[0]}: {error.strerror}") from None


def _demo(given: argparse.Namespace) -> int:
    from embedded.demo import demo

    return demo(default_var(), console)
