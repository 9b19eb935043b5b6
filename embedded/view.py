"""What a person sees while a stack starts and runs. Knows records only, so that it serves both kinds of start."""

import time
from datetime import timedelta
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.status import Status
from rich.table import Table

from embedded import jars
from embedded.record import Record

COLOURS = {"up": "green", "done": "green", "outside": "cyan", "failed": "red", "resting": "yellow", "stopped": "dim"}


class StartView:
    """A line for each part that is ready, dies or fails; below them what is being waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[str, int]] = {}
        self._status: Status | None = None

    def __enter__(self) -> "StartView":
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def go_on(self) -> None:
        """Show at the bottom what is being waited for."""
        if self._status is None:
            self._status = self._console.status("starting")
            self._status.start()

    def pause(self) -> None:
        """Take the line at the bottom away; what changes is still said."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def take_as_said(self, record: Record) -> None:
        """Say nothing about how things stand now, only about what comes."""
        self._said = {name: (part["state"], part["restarts"]) for name, part in record.parts.items()}

    def show(self, record: Record) -> None:
        """Say what has changed since the last call."""
        for name, part in record.parts.items():
            now = (part["state"], part["restarts"])
            if self._said.get(name) != now:
                self._said[name] = now
                line = self._line(part)
                if line:
                    self._console.print(line, highlight=False, soft_wrap=True)
        if self._status is not None:
            busy = [
                part["title"]
                for part in record.parts.values()
                if part["state"] in ("preparing", "starting", "stopping")
            ]
            verb = "stopping" if record.state == "stopping" else "starting"
            self._status.update(f"{verb} {', '.join(busy)}" if busy else verb)

    @staticmethod
    def _line(part: dict[str, Any]) -> str:
        title = f"{part['title']:<20}"
        took = f"{part['took']:>6.1f} s" if part["took"] else " " * 8
        match part["state"]:
            case "up" if part["restarts"]:
                return f"[green]✓[/] {title} {took}  runs again"
            case "up" | "done":
                return f"[green]✓[/] {title} {took}  [dim]{escape(part['address'])}[/]"
            case "outside":
                return f"[cyan]✓[/] {title} {took}  [dim]outside: {escape(part['address'])}[/]"
            case "resting":
                return f"[yellow]![/] {title} {escape(part['reason'])}"
            case "failed":
                return f"[red]✗[/] {title} {escape(part['reason'].splitlines()[0])}"
            case _:
                return ""


def table(record: Record, answers: dict[str, bool]) -> Table:
    """All parts: state, pid, address, restarts, how long it has been so; `answers` says who replied just now."""
    result = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("part", "state", "pid", "restarts", "for", "address"):
        justify: Literal["left", "right"] = "right" if heading in ("pid", "restarts", "for") else "left"
        result.add_column(heading, justify=justify, overflow="fold", no_wrap=heading != "address")
    for name, part in record.parts.items():
        state = part["state"] if answers.get(name, True) else "no answer"
        colour = COLOURS.get(state, "yellow")
        age = str(timedelta(seconds=int(time.time() - part["since"])))
        pid = str(part["pid"] or "")
        result.add_row(name, f"[{colour}]{state}[/]", pid, str(part["restarts"]), age, escape(part["address"]))
    return result


def fetch_jars(console: Console) -> None:
    """Fetch the jars with a bar; silent when all are there. Raises StackError."""
    if jars.missing() == 0:
        jars.ensure()
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("jars"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Kafka, Connect and Debezium")
        jars.ensure(lambda present, wanted: bar.update(task, completed=present, total=wanted))
