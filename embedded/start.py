"""What every way of starting a stack has in common: the checks before it, the word after it."""

from pathlib import Path

from rich.console import Console

from embedded import preflight
from embedded.errors import StackError
from embedded.paths import ROOT
from embedded.record import Record
from embedded.runner import tidy
from embedded.stack import Plan, plan
from embedded.view import fetch_jars


def prepare(var: Path, console: Console) -> None:
    """Everything that can be found wanting before a process is started. Raises StackError."""
    preflight.check(var, disk=1.0, memory=2.0)
    fetch_jars(console)


def say_tidy(var: Path, console: Console) -> None:
    """End what a killed supervisor left behind, and say so."""
    if left := tidy(var):
        console.print(f"ended {left} processes that an earlier run had left behind")


def checked_plan(var: Path, *, apps: bool = True, demo: bool = False) -> Plan:
    """The plan; without manage.py there is nothing to run but the engines."""
    if apps and not (ROOT / "manage.py").exists():
        raise StackError("there is no manage.py here", "up --engines-only starts the engines alone")
    return plan(var, apps=apps, demo=demo)


def where(record: Record, console: Console) -> None:
    """Print the addresses a person needs."""
    if "web" in record.parts:
        page = f"http://127.0.0.1:{record.ports['web']}"
        for title, path in (("page", "/"), ("admin", "/admin/"), ("API docs", "/api/docs")):
            console.print(f"  {title:<9} {page}{path}", highlight=False)
    console.print(f"  data      {record.var}  (stack.json says where each part listens)", highlight=False)
    console.print("  make status, make logs, make down", highlight=False)
