"""What every request goes through: its id, its log line, its count, the size of its body."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 60.0
"""So long may a client take for the body of its request."""

UPLOAD_SECONDS = 900.0
"""The same for the body of an upload."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class TooLarge(HTTPException):
    """A body beyond what is taken."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"body: expected at most {most} bytes")


class TooSlow(HTTPException):
    """A body that does not come to its end."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"body: expected all of it within {seconds:g} s")


def request_id_of(request: Request) -> str:
    """The id by which a request is found in the log."""
    return str(request.scope.get("telltale.request_id", ""))


class RequestMetrics:
    """Requests by route, method and status: names of a bounded number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("route", "method", "status")
        self.requests = Counter(
            "telltale_console_requests", "Requests answered.", labels, registry=registry
        )
        self.seconds = Histogram(
            "telltale_console_request_seconds",
            "From a request's first byte to its answer's end.",
            ("route",),
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )


class Requests:
    """The outermost layer of the application."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: RequestMetrics,
        log: Any,
        most_bytes: int,
        failed: Callable[[Request], Response],
        uploads: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._failed = failed
        self._metrics = metrics
        self._log = log
        self._most_bytes = most_bytes
        # Paths that take files → the most bytes of their bodies.
        self._uploads = dict(uploads or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope["telltale.request_id"] = request_id
        # As it was sent: a slash in an id, which is percent-encoded, is no end of a segment.
        raw = scope.get("raw_path")
        if raw:
            scope["path"] = raw.decode("latin-1")
        began, status, taken, started, whole = perf_counter(), 500, 0, False, False
        upload = self._uploads.get(scope["path"]) if scope["method"] == "POST" else None
        most = upload or self._most_bytes
        patience = UPLOAD_SECONDS if upload else BODY_SECONDS

        async def bounded() -> Message:
            nonlocal taken, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, began + patience - perf_counter())):
                    message = await receive()
            except TimeoutError:
                raise TooSlow(patience) from None
            whole = not message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > most:
                raise TooLarge(most)
            return message

        async def stamped(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, bounded, stamped)
        except Exception:
            self._log.error("request failed", request_id=request_id, exc_info=True)
            if not started:
                await self._failed(Request(scope))(scope, receive, stamped)
        finally:
            self._note(scope, request_id, status, perf_counter() - began)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "none"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        self._log.info(
            "request",
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            seconds=round(seconds, 6),
        )
