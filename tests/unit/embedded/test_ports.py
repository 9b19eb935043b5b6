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
