"""`stack.json`: what runs, where it listens, under which pid. Written by the supervisor, read by everybody else.

The file holds passwords (the environment of the application), so it is mode 600.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.paths import read_json, write_private
from embedded.process import Identity, boot_id, family, send
from embedded.unit import Unit

MARK = "NOVA_STACK"
"""Environment variable that every application process carries: the data folder of its stack."""


@dataclass
class Record:
    """The content of stack.json; `state` is one of starting, up, stopping, stopped, failed."""

    state: str = "stopped"
    message: str = ""
    var: str = ""
    boot: str = ""
    supervisor: dict[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per part: title, state, pid, started (clock ticks), since (unix seconds), address, restarts, took (s), reason,
    log, health (URL or nothing), step."""
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, var: Path) -> "Record":
        """What is written in this data folder; an empty record when nothing is."""
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in read_json(var / "stack.json").items() if name in known})

    def write(self) -> None:
        """Put it down, in one step."""
        write_private(Path(self.var) / "stack.json", json.dumps(self.__dict__, indent=2) + "\n")

    def supervisor_alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return self._alive(self.supervisor)

    def _alive(self, process: Mapping[str, Any]) -> bool:
        return self.boot == boot_id() and bool(process.get("pid")) and _identity(process).alive()

    def leftovers(self) -> list[Identity]:
        """Processes of the recorded parts that still run; never a stranger that was given one of their pids.

        The recorded process itself is known by its start time. Where it is gone, what remains of its session
        counts only if it carries this stack's mark.
        """
        if self.boot != boot_id():
            return []
        found: list[Identity] = []
        for part in self.parts.values():
            if not part.get("pid"):
                continue
            members = family(part["pid"])
            ours = self._alive(part)
            found += [member for member in members if ours or _has_mark(member.pid, self.var)]
        return found


def describe(unit: Unit) -> dict[str, Any]:
    """One part as it stands, for the record."""
    process = unit.process if unit.process is not None and unit.process.exit_code() is None else None
    return {
        "title": unit.service.title,
        "state": str(unit.state),
        "pid": process.pid if process else 0,
        "started": process.identity.started if process else 0,
        "since": unit.since,
        "address": unit.service.address,
        "restarts": unit.restarts,
        "took": round(unit.took, 2),
        "reason": unit.reason,
        "log": str(unit.log_file),
        "health": unit.service.health_url,
        "step": unit.service.one_shot,
    }


def myself() -> dict[str, int]:
    """This process, as the record's supervisor."""
    identity = Identity.of(os.getpid())
    assert identity is not None
    return {"pid": identity.pid, "started": identity.started}


def clean(record: Record, *, grace: float = 10.0) -> int:
    """End whatever an earlier supervisor left behind, politely for `grace` seconds; returns how many there were."""
    left = record.leftovers()
    for identity in left:
        send(identity, signal.SIGTERM)
        send(identity, signal.SIGCONT)
    until = time.monotonic() + grace
    while time.monotonic() < until and any(identity.alive() for identity in left):
        time.sleep(0.05)
    for identity in [*left, *record.leftovers()]:
        send(identity, signal.SIGKILL)
    while any(identity.alive() for identity in left):
        time.sleep(0.02)
    return len(left)


def _identity(process: Mapping[str, Any]) -> Identity:
    return Identity(int(process["pid"]), int(process["started"]))


def _has_mark(pid: int, var: str) -> bool:
    try:
        return f"{MARK}={var}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
