"""A consumer's own port: /healthz says whether it polls, /metrics what it does."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.db import connections
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

# A poll takes milliseconds, so this long without one means that the loop hangs.
STALLED_SECONDS = 30.0


def serve(host: str, port: int, last_poll: Callable[[], float]) -> None:
    """Answer on host:port from a daemon thread. last_poll: when the loop last polled, by `time.monotonic`.

    Raises OSError when the port is taken, or the host none of this machine's.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                try:
                    body = generate_latest()
                finally:
                    # Some metrics are read from PostgreSQL, and this thread ends: a connection that it kept would be
                    # missing in the pool for ever, until the consumer itself got none.
                    connections.close_all()
                self._answer(200, CONTENT_TYPE_LATEST, body)
            elif self.path == "/healthz":
                ago = time.monotonic() - last_poll()
                status = 200 if ago < STALLED_SECONDS else 503
                self._answer(status, "text/plain; charset=utf-8", f"polled {ago:.1f} s ago\n".encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"/healthz and /metrics are here\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every few seconds: not a line each."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
