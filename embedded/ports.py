"""Free ports on 127.0.0.1, remembered between runs so that addresses stay the same.

Ports are taken below 32768, where Linux starts handing out ports to outgoing connections: a remembered port
is then still ours after a restart of the stack, unless another server took it.
"""

import json
import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedded.errors import StackError
from embedded.paths import read_json, write_private

LOWEST, HIGHEST = 20000, 32000
WISHES: Mapping[str, range] = {"web": range(8000, 8020)}
"""Ports a person would type; tried in order before any other."""
SHARED = ("web", "stream")
"""Granian lets any process of the same user listen beside it (SO_REUSEPORT), for the sake of its workers."""


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def held(chosen: Mapping[str, int]) -> Iterator[None]:
    """Let nobody else find a shared port free, from its choice on and not only once its server listens: two stacks
    that start together would share it, each answering half of the other's requests."""
    with ExitStack() as stack:
        for port in (chosen[name] for name in SHARED if name in chosen):
            # Bound and not listening: it is given no connection.
            holder = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                holder.bind(("127.0.0.1", port))
            except OSError:
                raise StackError(f"port {port} was taken just now", "Try again: others are chosen then.") from None
        yield


def answers(port: int, *, timeout: float = 0.5) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`; `timeout` in seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout):
            return True
    except OSError:
        return False


def assign(names: Iterable[str], memory: Path) -> dict[str, int]:
    """One free port per name: the remembered one where still free, else a new one; `memory` is updated.

    Raises StackError when no free port is left to try.
    """
    remembered: dict[str, int] = {name: port for name, port in read_json(memory).items() if isinstance(port, int)}
    chosen: dict[str, int] = {}
    taken: set[int] = set(remembered.values())
    for name in names:
        port = remembered.get(name)
        if port is None or not is_free(port):
            port = _find(name, taken)
        chosen[name] = port
        taken.add(port)
    write_private(memory, json.dumps(remembered | chosen, indent=2) + "\n")
    return chosen


def _find(name: str, taken: set[int]) -> int:
    for port in (*WISHES.get(name, ()), *random.sample(range(LOWEST, HIGHEST), 200)):
        if port not in taken and is_free(port):
            return int(port)
    raise StackError(
        f"no free port on 127.0.0.1 for {name}", "Stop some of the servers on this machine, then try again."
    )
