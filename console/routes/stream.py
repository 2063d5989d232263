"""Server-sent events: verdicts and lifecycle as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from console.auth.callers import Console, needs
from console.auth.permissions import MODEL_READ, Caller
from console.live.recent import Event
from console.services import Services

router = APIRouter(tags=["stream"])
ALIVE_SECONDS = 15.0
LOOK_SECONDS = 0.5


@router.get("/api/v1/stream", response_class=StreamingResponse)
async def stream(
    console: Console,
    who: Annotated[Caller, Depends(needs(MODEL_READ))],
    kind: Annotated[str | None, Query()] = None,
    profile_id: Annotated[str | None, Query()] = None,
    severity: Annotated[Literal["low", "medium", "high", "critical"] | None, Query()] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """Anomalies, drawn normal verdicts and lifecycle events.

    A client that was cut off sends `Last-Event-ID` and is told what it missed; an event `gap` says
    that not all of it is known here any more. A client that is 1,000 events behind is dropped.
    """

    def wanted(event: Event) -> bool:
        body = event.body
        return (
            who.sees(event.profile_id)
            and (kind is None or body.get("kind") == kind)
            and (profile_id is None or event.profile_id == profile_id)
            and (severity is None or body.get("severity") == severity)
        )

    async def told() -> AsyncIterator[bytes]:
        with console.state.recent.follow(last) as (follower, missed, whole):
            yield b": telltale\n\n"
            if not whole:
                yield b"event: gap\ndata: {}\n\n"
            for event in missed:
                if wanted(event):
                    yield _frame(console, event)
            silent = 0.0
            while not console.stopping and not follower.dropped:
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        event = await follower.queue.get()
                except TimeoutError:
                    silent += LOOK_SECONDS
                    if silent >= ALIVE_SECONDS:
                        silent = 0.0
                        yield b": alive\n\n"
                    continue
                if wanted(event):
                    silent = 0.0
                    yield _frame(console, event)

    return StreamingResponse(
        told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


def _frame(console: Services, event: Event) -> bytes:
    name = console.state.recent.event_id(event)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        name.encode(),
        event.name.encode(),
        orjson.dumps(event.body),
    )
