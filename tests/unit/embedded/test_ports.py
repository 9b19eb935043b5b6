import json
import socket
from pathlib import Path

import pytest

from embedded import ports


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_second_run_gets_the_same_ports(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    first = ports.assign(("kafka", "redis"), memory)
    assert len(set(first.values())) == 2
    assert ports.assign(("kafka", "redis"), memory) == first


def test_a_port_that_somebody_took_is_replaced_and_the_others_stay(tmp_path: Path, taken: socket.socket) -> None:
    memory = tmp_path / "ports.json"
    first = ports.assign(("kafka", "redis"), memory)
    memory.write_text(json.dumps(first | {"kafka": taken.getsockname()[1]}))
    second = ports.assign(("kafka", "redis"), memory)
    assert second["redis"] == first["redis"]
    assert ports.is_free(second["kafka"])


def test_a_broken_memory_is_forgotten(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    memory.write_text("{")
    assert ports.assign(("kafka",), memory)["kafka"] in range(ports.LOWEST, ports.HIGHEST)


def test_answers_tells_a_server_from_a_free_port(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    assert ports.answers(port)
    taken.close()
    assert not ports.answers(port)


def listener(port: int) -> socket.socket:
    """A server as granian makes it."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_two_stacks_that_start_together_share_no_port(tmp_path: Path) -> None:
    """Each chose its ports before the other's web server listened, and both then listened on the same one."""
    first = ports.assign(ports.SHARED, tmp_path / "first.json")
    with ports.held(first):
        second = ports.assign(ports.SHARED, tmp_path / "second.json")
        assert not set(first.values()) & set(second.values())
        with listener(first["web"]) as server, socket.create_connection(("127.0.0.1", first["web"]), timeout=5):
            server.settimeout(5)
            server.accept()[0].close()
    assert ports.is_free(first["stream"])
