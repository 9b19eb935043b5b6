"""`make demo`: everything in the foreground, with a community that lives, and a word about what is where."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import urllib3
from rich.console import Console

from embedded import credentials
from embedded.paths import ROOT, read_json
from embedded.process import family
from embedded.record import Record
from embedded.runner import Runner, lock, log_to_file
from embedded.stack import Plan
from embedded.start import checked_plan, prepare, say_tidy, where
from embedded.view import StartView

STAFF = "admin"
PULSE = 1.0
"""Seconds between two status lines on a terminal."""
PULSE_ELSEWHERE = 60.0
"""Where lines cannot be overwritten."""


def manage(plan: Plan, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a management command with the stack's environment and keep what it says."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command],
        env=os.environ | plan.env | more,
        cwd=ROOT,
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C is the supervisor's business
        check=False,
    )


def make_staff(plan: Plan, console: Console) -> None:
    """Create the staff user; the password is shown this once."""
    password = credentials.load(plan.var / "secrets.json").staff
    identity = {"USERNAME": STAFF, "EMAIL": f"{STAFF}@example.org", "PASSWORD": password, "DISPLAY_NAME": "Staff"}
    variables = {f"DJANGO_SUPERUSER_{name}": value for name, value in identity.items()}
    done = manage(plan, "createsuperuser", "--noinput", **variables)
    if done.returncode == 0:
        console.print(f"  staff     {STAFF} / {password}   (shown once)", highlight=False, markup=False)
    elif "already" not in done.stderr + done.stdout:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        console.print(f"  staff     not created: {' '.join(last)}", highlight=False, markup=False)


def show_curl(plan: Plan, console: Console) -> None:
    """A line to copy: the feed of some member as JSON."""
    page = f"http://127.0.0.1:{plan.ports['web']}"
    service = manage(plan, "issue_token", "--service").stdout.strip()
    try:
        headers = {"Authorization": f"Bearer {service}"}
        reply = urllib3.request("GET", f"{page}/api/members?limit=2", headers=headers, timeout=5, retries=False)
        members = [member["username"] for member in json.loads(reply.data)["items"]]
        # Of a community that has just been made, the newest member is the one made by `make_staff`, who follows nobody.
        username = next(name for name in members if name != STAFF)
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError, StopIteration):
        return  # no member yet: nobody whose feed could be shown
    token = manage(plan, "issue_token", username).stdout.strip()
    if token:
        line = f"curl -s -H 'Authorization: Bearer {token}' '{page}/api/feed?limit=5'"
        console.print(f"  curl      {line}", highlight=False, markup=False, soft_wrap=True)


class Pulse:
    """One line that says the demo lives: what the community does, what was healed, how much memory all of it takes."""

    def __init__(self, runner: Runner, console: Console) -> None:
        self._runner, self._console, self._next = runner, console, 0.0
        self._status = console.status("")

    def start(self) -> None:
        """Begin showing it."""
        if self._console.is_terminal:
            self._status.start()

    def stop(self) -> None:
        """Leave the line free."""
        self._status.stop()

    def beat(self) -> None:
        """Renew the line when it is time."""
        if time.monotonic() < self._next:
            return
        terminal = self._console.is_terminal
        self._next = time.monotonic() + (PULSE if terminal else PULSE_ELSEWHERE)
        line = self._line()
        self._status.update(line) if terminal else self._console.print(line, highlight=False, soft_wrap=True)

    def _line(self) -> str:
        units = self._runner.supervisor.units.values()
        well = sum(unit.state in ("up", "outside") for unit in units)
        servers = sum(not unit.service.one_shot for unit in units)
        counts = read_json(self._runner.plan.var / "simulation.json")
        did = ", ".join(f"{value} {name}" for name, value in counts.items() if isinstance(value, int) and value)
        memory = sum(_resident(unit.process.pid) for unit in units if unit.process is not None) / 1024**2
        restarts = sum(unit.restarts for unit in units)
        healed = f" · {restarts} restarts" if restarts else ""
        parts = f"{well}/{servers} parts up{healed} · {memory:.0f} MB"
        return f"{parts} · community: {did or 'waking up'} · Ctrl-C stops all"


def _resident(leader: int) -> int:
    """Bytes of memory of a part's processes; pages that they share are counted for each."""
    total = 0
    for member in family(leader):
        try:
            total += int(Path(f"/proc/{member.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            continue
    return total


def demo(var: Path, console: Console) -> int:
    """Run the demo until Ctrl-C. Raises StackError when it cannot start."""
    with lock(var):
        prepare(var, console)
        log_to_file(var)
        say_tidy(var, console)
        plan = checked_plan(var, demo=True)
        with StartView(console) as view:

            def show(record: Record) -> None:
                if record.state == "stopping":
                    pulse.stop()
                    view.go_on()
                view.show(record)

            def on_up() -> None:
                view.pause()
                console.print("\n[bold]Nova runs.[/] Choose a member on the page and watch the feed change.")
                where(runner.record, console)
                make_staff(plan, console)
                show_curl(plan, console)
                console.print()
                pulse.start()

            runner = Runner(plan, show)
            pulse = Pulse(runner, console)
            try:
                runner.run(on_up=on_up, each=pulse.beat)
            finally:
                pulse.stop()
    console.print("everything is stopped; the data are kept, the next start takes seconds")
    return 0
