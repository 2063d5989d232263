"""``/metrics``, ``/health/live`` and ``/health/ready``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

BROKER_SECONDS = 15.0


@dataclass
class Health:
    """What a role's loop last said of itself; written by the loop, read by the server.

    Attributes:
        turned: monotonic time of the loop's last turn.
        waiting: why the role is not ready, or None.
        fatal: the error after which the role is never healthy again.
        broker_seen: monotonic time at which the broker last answered.
        live_seconds: how long a turn may take.
    """

    turned: float = field(default_factory=monotonic)
    waiting: str | None = "starting"
    fatal: str | None = None
    broker_seen: float = field(default_factory=monotonic)
    live_seconds: float = 60.0

    def live(self) -> str | None:
        """Why the role is not alive, or None."""
        if self.fatal is not None:
            return f"fatal: {self.fatal}"
        silent = monotonic() - self.turned
        return f"the loop has not turned for {silent:.0f} s" if silent > self.live_seconds else None

    def ready(self) -> str | None:
        """Why the role is not ready, or None."""
        dead = self.live()
        if dead is not None:
            return dead
        silent = monotonic() - self.broker_seen
        if silent > BROKER_SECONDS:
            return f"the broker has not answered for {silent:.0f} s"
        return self.waiting


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
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
        found = {name: checks[path](health) for name, health in roles.items()}
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
