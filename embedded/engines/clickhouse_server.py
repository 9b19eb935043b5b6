"""Serve ClickHouse from the extension module of chdb-core. Run as a script: clickhouse_server.py FOLDER HTTP_PORT.

FOLDER holds config.xml (ports, listen_host) and gets the data below `data/`. The module is loaded directly:
`import chdb` opens a connection of its own, which lacks the listeners. One query that never ends keeps the
server open. On SIGTERM pending asynchronous inserts are written before the process ends.
"""

import importlib.util
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType

SERVE = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;"
    " SELECT sleepEachRow(3) FROM numbers(100000000)"
    " SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 100000000, max_execution_time = 0"
    " FORMAT Null"
)


def load_engine() -> ModuleType:
    """The extension module; it looks for its helpers in the working directory while it loads."""
    package = importlib.util.find_spec("chdb")
    if package is None or package.origin is None:
        raise SystemExit("the package chdb-core is not installed")
    folder = Path(package.origin).parent
    os.chdir(folder)
    spec = importlib.util.spec_from_file_location("_chdb", folder / "_chdb.abi3.so")
    assert spec is not None
    assert spec.loader is not None
    engine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(engine)
    return engine


def main(folder: Path, http_port: int) -> int:
    """Serve until SIGTERM or SIGINT (exit code 0), or until the engine gives up (exit code 1)."""
    # Blocked before any other thread exists, so that the engine's threads leave these signals to us.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    engine = load_engine()
    os.chdir(folder)

    def serve() -> None:
        try:
            engine.query(SERVE, "CSV", path=str(folder / "data"))
        except Exception as error:  # whatever it was, it belongs in the log
            print(f"ClickHouse ended: {error}", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=serve, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    flush = urllib.request.Request(f"http://127.0.0.1:{http_port}/", b"SYSTEM FLUSH ASYNC INSERT QUEUE")
    try:
        urllib.request.urlopen(flush, timeout=5).close()
    except (urllib.error.URLError, OSError) as error:
        print(f"asynchronous inserts could not be flushed: {error}", file=sys.stderr, flush=True)
    os._exit(0)  # the engine's threads cannot be joined


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
