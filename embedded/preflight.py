"""What must be there before anything is started: disk and memory. Standard library only."""

import os
import shutil
from pathlib import Path

from embedded.errors import StackError

GIGABYTE = 1024**3
ANYWAY = "NOVA_ANYWAY"


def free_disk(path: Path) -> int:
    """Bytes that may still be written where `path` is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def available_memory() -> int:
    """Bytes of memory that new processes can have: what the system says, or less where a control group limits us."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    system = int(rows["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return system
    return max(0, min(system, limit - used))


def check(place: Path, *, disk: float, memory: float) -> None:
    """Raise StackError when less than `disk` GB is free at `place` or less than `memory` GB of memory is available.

    NOVA_ANYWAY=1 goes on all the same.
    """
    if os.environ.get(ANYWAY):
        return
    for what, there, wanted, advice in (
        (
            "disk space",
            free_disk(place),
            disk,
            f"Free some space where {place} is, or choose another place: NOVA_VAR=/elsewhere",
        ),
        ("memory", available_memory(), memory, "Close some programs"),
    ):
        if there < wanted * GIGABYTE:
            raise StackError(
                f"not enough {what}: {there / GIGABYTE:.1f} GB free, about {wanted:g} GB needed",
                f"{advice}. Nothing was changed. {ANYWAY}=1 tries it all the same.",
            )
