"""Verdicts and lifecycle as they come: server-sent events and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState

from console.answers import Word
from console.auth.callers import Console, needs, socket_caller, still_known
from console.auth.permissions import MODEL_READ, Caller
from console.live.recent import Event
from console.problems import MEDIA_TYPE, Problem
from console.services import Services

router = APIRouter(tags=["stream"])
ALIVE_SECONDS = 15.0
LOOK_SECONDS = 0.5
KNOWN_SECONDS = 5.0
SEND_SECONDS = 30.0
"""So long may a client take for one event; a slower one is dropped, not waited for."""

PROTOCOL = "telltale"
GAP = Event(0, "gap", "", {})

Severity = Annotated[Literal["low", "medium", "high", "critical"] | None, Query()]


@dataclass(frozen=True)
class Filter:
    """Which events a client wants."""

    kind: Annotated[Word | None, Query()] = None
    profile_id: Annotated[Word | None, Query()] = None
    severity: Severity = None
    suppressed: Annotated[bool | None, Query()] = None

    def __call__(self, event: Event) -> bool:
        body = event.body
        return (
            (self.kind is None or body.get("kind") == self.kind)
            and (self.profile_id is None or event.profile_id == self.profile_id)
            and (self.severity is None or body.get("severity") == self.severity)
            and (self.suppressed is None or body.get("suppressed") is self.suppressed)
        )


class _Bounded(StreamingResponse):
    """An answer that ends where the client does not take what it is sent.

    Its stream counts among those of the caller while it is sent.
    """

    def __init__(
        self, console: Services, who: Caller, frames: AsyncIterator[bytes], **more: Any
    ) -> None:
        super().__init__(frames, **more)
        self._console = console
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        with self._console.streams.hold(self._who.subject), suppress(TimeoutError):
            await super().__call__(scope, receive, in_time)


@router.get("/api/v1/stream", response_class=StreamingResponse)
async def stream(
    console: Console,
    who: Annotated[Caller, Depends(needs(MODEL_READ))],
    wanted: Annotated[Filter, Depends()],
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """Anomalies, drawn normal verdicts and lifecycle events.

    A client that was cut off sends `Last-Event-ID` and is told what it missed; an event `gap` says
    that not all of it is known here any more. A client that is 1,000 events behind is dropped.
    """

    async def frames() -> AsyncIterator[bytes]:
        yield b": telltale\n\n"
        async for event in follow(console, who, wanted, last):
            if event is None:
                yield b": alive\n\n"
            elif event is GAP:
                yield b"event: gap\ndata: {}\n\n"
            else:
                yield _frame(console, event)

    return _Bounded(
        console,
        who,
        frames(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


@router.websocket("/ws/live")
async def live(
    socket: WebSocket,
    wanted: Annotated[Filter, Depends()],
    last: Annotated[str | None, Query(alias="last_event_id")] = None,
) -> None:
    """The same over a WebSocket: a JSON object `{id, event, data}` for each event.

    The client offers the subprotocols `telltale` and `bearer.<JWT>` or `ticket.<ticket>`.
    """
    root = socket.app.state.services
    with ExitStack() as held:
        try:
            who = await run_in_threadpool(socket_caller, socket, root)
            if MODEL_READ not in who.permissions:
                raise Problem(403, "forbidden", f"expected the permission {MODEL_READ}")
            console = root.of(who)
            held.enter_context(root.streams.hold(who.subject))
        except Problem as problem:
            body = problem.body("")
            await socket.send_denial_response(
                JSONResponse(body, problem.status, problem.headers, media_type=MEDIA_TYPE)
            )
            return
        await _talk(socket, console, who, wanted, last)


async def _talk(
    socket: WebSocket, console: Services, who: Caller, wanted: Filter, last: str | None
) -> None:
    """Tell a client that was let in what it wants, until it goes."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    gone = asyncio.ensure_future(_gone(socket))
    try:
        async for event in follow(console, who, wanted, last, lambda: gone.done()):
            if gone.done():
                return
            if event is None:
                continue
            async with asyncio.timeout(SEND_SECONDS):
                await socket.send_text(_text(console, event))
        if socket.application_state is WebSocketState.CONNECTED and not gone.done():
            async with asyncio.timeout(SEND_SECONDS):
                await socket.close(1001 if console.stopping else 1008)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return
    finally:
        gone.cancel()


async def _gone(socket: WebSocket) -> None:
    """Ends when the client has closed; what it sends is not looked at."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def follow(
    console: Services,
    who: Caller,
    wanted: Callable[[Event], bool],
    last: str | None,
    left: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Event | None]:
    """The events that a client sees and wants, from now on or from an event on.

    It ends when the client does not keep up, may not look any longer, or the process ends.

    Args:
        last: id of the last event that the client was told.
        left: whether the client has gone.

    Yields:
        An event; ``GAP`` where some are not known any more; None as a sign of life.
    """

    def meant(event: Event) -> bool:
        return who.sees(event.profile_id) and wanted(event)

    with console.state.recent.follow(last) as (follower, missed, whole):
        if not whole:
            yield GAP
        for each in missed:
            if meant(each):
                yield each
        spoken = looked = monotonic()
        while not (console.stopping or follower.dropped or left()):
            event: Event | None = None
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    event = await follower.queue.get()
            now = monotonic()
            if now - looked > KNOWN_SECONDS:
                looked = now
                if not await run_in_threadpool(still_known, console, who):
                    return
            if event is not None and meant(event):
                spoken = now
                yield event
            elif now - spoken > ALIVE_SECONDS:
                spoken = now
                yield None


def _text(console: Services, event: Event) -> str:
    told: dict[str, Any] = {"event": event.name, "data": event.body}
    if event is not GAP:
        told = {"id": console.state.recent.event_id(event)} | told
    return orjson.dumps(told).decode()


def _frame(console: Services, event: Event) -> bytes:
    name = console.state.recent.event_id(event)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        name.encode(),
        event.name.encode(),
        orjson.dumps(event.body),
    )
