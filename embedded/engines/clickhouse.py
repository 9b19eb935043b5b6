"""ClickHouse 26.9 with its native and HTTP ports, out of the chdb-core package."""

import os
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from embedded.engines import plain_environment
from embedded.service import Startable, http_ok

MEBIBYTE = 1024 * 1024


def answers(url: str) -> bool:
    """Whether the server behind `url` (clickhouse://…) answers a query over the native protocol.

    The database that the URL names need not exist yet.
    """
    client = Client.from_url(url.split("?")[0].rsplit("/", 1)[0] + "/default?connect_timeout=2&send_receive_timeout=2")
    try:
        return bool(client.execute("SELECT 1") == [(1,)])
    except (ClickHouseError, OSError, EOFError):
        return False
    finally:
        client.disconnect()


class ClickHouse(Startable):
    """One server for the user `default`; this build knows no passwords and listens on loopback only."""

    name = "clickhouse"
    title = "ClickHouse"
    stop_grace = 20.0

    def __init__(self, var: Path, native_port: int, http_port: int) -> None:
        self._folder, self._native_port, self._http_port = var / "clickhouse", native_port, http_port
        self.address = f"127.0.0.1:{native_port} native, {http_port} HTTP"
        self.url = f"clickhouse://default:@127.0.0.1:{native_port}/nova_feed?http_port={http_port}"

    def prepare(self) -> None:
        """Write the configuration, which the server looks for in its working directory."""
        self._folder.mkdir(parents=True, exist_ok=True)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        settings = {
            "tcp_port": self._native_port,
            "http_port": self._http_port,
            "listen_host": "127.0.0.1",
            # It shares the machine with ten other processes: refuse a query rather than invite the OOM killer.
            "max_server_memory_usage": memory // 2,
            "mark_cache_size": 256 * MEBIBYTE,
            "uncompressed_cache_size": 0,
        }
        rows = [f"  <{name}>{escape(str(value))}</{name}>" for name, value in settings.items()]
        text = "\n".join(["<clickhouse>", *rows, "  <logger><level>none</level></logger>", "</clickhouse>"])
        (self._folder / "config.xml").write_text(text + "\n")

    def command(self) -> list[str]:
        """Our own small program around the extension module."""
        program = Path(__file__).with_name("clickhouse_server.py")
        return [sys.executable, str(program), str(self._folder), str(self._http_port)]

    def environment(self) -> dict[str, str]:
        """Nothing special."""
        return plain_environment()

    def healthy(self) -> bool:
        """Both ports answer."""
        return http_ok(f"http://127.0.0.1:{self._http_port}/ping") and answers(self.url)
