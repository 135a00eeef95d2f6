"""``/metrics`` and ``/health`` over HTTP, for a scraper and a supervisor on the same machine.

The server reads one immutable snapshot and has threads of its own: no client can hold up the
loop. A client gets a few seconds in all, however slowly it talks, and only so many are served at
once; the rest are hung up on. Nothing that a client sends is used but the path.
"""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from streamer.errors import ListenError
from streamer.watching.metrics import CONTENT_TYPE, render
from streamer.watching.snapshot import Snapshot

logger = logging.getLogger(__name__)

CLIENT_S = 5.0
"""How long one client may take in all."""
MOST_CLIENTS = 16
POLL_S = 0.25


class StatusServer:
    """Serves the snapshot that ``ask`` returns, from ``start`` to ``close``.

    The port is bound at once, so that a wrong one is told before anything else begins.

    Raises:
        ListenError: nobody can listen there.
    """

    def __init__(
        self, host: str, port: int, *, client_s: float = CLIENT_S, clients: int = MOST_CLIENTS
    ) -> None:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            kind = type("_Server", (_Server,), {"address_family": family})
            self._server: _Server = kind((host, port), client_s, clients)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ListenError(f"cannot listen on {address_text(host, port)}: {reason}") from error
        self._host = host
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="http", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens, with the port that it really got."""
        return f"http://{address_text(self._host, int(self._server.server_address[1]))}"

    def start(self, ask: Callable[[], Snapshot]) -> None:
        """Begin to answer."""
        self._server.ask = ask
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and let the port go."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up(float("inf"))
        self._server.server_close()


def address_text(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], client_s: float, clients: int) -> None:
        self.ask: Callable[[], Snapshot]
        self._client_s = client_s
        self._clients = clients
        self._until_s: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as HTTPServer would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "sightline", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread, if there are not too many already."""
        with self._guard:
            full = len(self._until_s) >= self._clients
            if not full:
                self._until_s[request] = time.monotonic() + self._client_s
        if full:
            self.shutdown_request(request)
            return
        request.settimeout(self._client_s)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Let go of a client."""
        with self._guard:
            self._until_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Look, several times a second, for clients whose time is over."""
        self.hang_up(time.monotonic())

    def hang_up(self, now_s: float) -> None:
        """Cut off every client whose time was over by then; its thread ends by that."""
        with self._guard:
            late = [one for one, until_s in self._until_s.items() if until_s <= now_s]
            for one in late:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it has hung up itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a fault of ours; a client that went away in the middle is nobody's."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("a request could not be answered")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "sightline"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the two pages."""
        path = self.path.partition("?")[0]
        snapshot, now_s = self.server.ask(), time.monotonic()
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, render(snapshot, now_s))
        elif path == "/health":
            status, document = health(snapshot, now_s)
            self._answer(status, "application/json", json.dumps(document, indent=1) + "\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there are /metrics and /health\n")

    def do_HEAD(self) -> None:
        """Answer as to GET, without the page."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the log for cameras: a client could fill it."""


def health(snapshot: Snapshot, now_s: float) -> tuple[HTTPStatus, dict[str, object]]:
    """Return 200, or 503 with every reason, at a monotonic time."""
    reasons = snapshot.troubles(now_s)
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return status, {"ok": not reasons, "phase": snapshot.phase.value, "reasons": reasons}
