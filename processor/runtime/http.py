"""``/metrics``, ``/health/live`` and ``/health/ready``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from processor.stream.health import Health
from processor.text.escaping import named

MOST_CONNECTIONS = 32
REQUEST_SECONDS = 5.0
"""A request has to be read within that time, however slowly its bytes come."""

ANSWER_SECONDS = 30.0
"""A connection ends after that time, also if its client does not read the answer."""

LEAVE_SECONDS = 1.0
"""How long a new connection waits for the place of one that is closed for it."""


@dataclass(eq=False)
class _Connection:
    """A connection that is open; ``read`` tells whether its request is there."""

    socket: socket
    since: float
    read: bool = False
    closing: bool = False

    def late(self, now: float) -> bool:
        """Whether it has taken longer than it may."""
        return now - self.since > (ANSWER_SECONDS if self.read else REQUEST_SECONDS)

    def end(self) -> None:
        """Have its thread, which waits for the client, come to its end."""
        self.closing = True
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, for a bounded number of them.

    If all places are taken, a new connection gets that of the one which has waited longest for its
    request. A probe sends its request at once, so slow clients cannot keep it out.
    """

    daemon_threads = True
    request_queue_size = 4 * MOST_CONNECTIONS

    def __init__(self, *args: Any) -> None:
        self._connections: dict[Any, _Connection] = {}
        self._left = threading.Condition()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._left:
            if len(self._connections) >= MOST_CONNECTIONS:
                self._make_room()
            if len(self._connections) >= MOST_CONNECTIONS:
                self.close_request(request)
                return
            self._connections[request] = _Connection(request, monotonic())
        super().process_request(request, client_address)

    def _make_room(self) -> None:
        """Close the oldest connection, of those without a request if there is one; it is locked."""
        held = [c for c in self._connections.values() if not c.closing]
        oldest = min(held, key=lambda c: (c.read, c.since), default=None)
        if oldest is not None:
            oldest.end()
        self._left.wait_for(lambda: len(self._connections) < MOST_CONNECTIONS, LEAVE_SECONDS)

    def has_read(self, request: Any) -> bool:
        """Take note that a connection's request is there; False if it was closed meanwhile."""
        with self._left:
            connection = self._connections[request]
            connection.read = True
            return not connection.closing

    def service_actions(self) -> None:
        """Close what has taken too long; called twice a second, and after each new connection."""
        now = monotonic()
        with self._left:
            for connection in self._connections.values():
                if not connection.closing and connection.late(now):
                    connection.end()

    def close_request(self, request: Any) -> None:
        with self._left:
            super().close_request(request)
            self._connections.pop(request, None)
            self._left.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error of ours."""


class _Quiet(WSGIRequestHandler):
    server: _Server

    def parse_request(self) -> bool:
        # A request that was cut off where its headers end would look like a whole one.
        return super().parse_request() and self.server.has_read(self.connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


def serve(
    host: str, port: int, registry: CollectorRegistry, roles: Mapping[str, Health]
) -> _Server:
    """Serve in a daemon thread; the port in use is ``server.server_port``.

    Raises:
        OSError: the address cannot be had.
    """
    metrics = make_wsgi_app(registry)
    checks: dict[str, Callable[[Health], str | None]] = {
        "/health/live": Health.live,
        "/health/ready": Health.ready,
    }

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path not in checks:
            start_response("404 Not Found", [("Content-Type", "application/json")])
            return [b'{"error": "try /metrics, /health/live or /health/ready"}\n']
        said = {name: checks[path](health) for name, health in roles.items()}
        # What went wrong may quote anything; the port is not for ids of profiles.
        found = {name: why and named(why) for name, why in said.items()}
        wrong = any(found.values())
        status = "503 Service Unavailable" if wrong else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        body = {
            "status": "unavailable" if wrong else "ok",
            "roles": {name: why or "ok" for name, why in found.items()},
        }
        return [json.dumps(body).encode() + b"\n"]

    server = make_server(host, port, application, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
