"""WebSockets of the lab: who may open one, and whether the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from console.auth.callers import socket_caller
from console.auth.permissions import Caller
from console.problems import MEDIA_TYPE, Problem
from console.services import Services

PROTOCOL = "telltale"
SEND_SECONDS = 30.0
"""So long may a client take for one frame; a slower one is dropped."""


async def deny(socket: WebSocket, problem: Problem) -> None:
    """Refuse a WebSocket with a problem."""
    await socket.send_denial_response(
        JSONResponse(problem.body(""), problem.status, problem.headers, media_type=MEDIA_TYPE)
    )


async def admit(socket: WebSocket, permission: str) -> tuple[Services, Caller]:
    """The services of the process, and who opens a WebSocket.

    Raises:
        Problem: 401, 403, 429.
    """
    root = socket.app.state.services
    who = await run_in_threadpool(socket_caller, socket, root)
    if permission not in who.permissions:
        raise Problem(403, "forbidden", f"expected the permission {permission}")
    return root, who


async def accept(socket: WebSocket) -> None:
    """Let a client in."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)


async def send(socket: WebSocket, text: str) -> None:
    """Send a frame.

    Raises:
        TimeoutError: the client does not take it.
    """
    async with asyncio.timeout(SEND_SECONDS):
        await socket.send_text(text)


@asynccontextmanager
async def until_gone(socket: WebSocket) -> AsyncIterator[asyncio.Future[None]]:
    """A future that is done when the client has closed; what it sends is not looked at."""

    async def gone() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    task = asyncio.ensure_future(gone())
    try:
        yield task
    finally:
        task.cancel()
