"""The frames of a job over a WebSocket: all of them from the first one on, then as they come."""

from __future__ import annotations

import asyncio
from time import monotonic

import orjson
from fastapi import APIRouter, WebSocket
from fastapi.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from console.auth.callers import still_known
from console.auth.permissions import ANALYSIS_READ, Caller
from console.jobs.queue import ENDED
from console.jobs.reading import frames_after, job_row
from console.jobs.sockets import accept, admit, deny, send, until_gone
from console.problems import Problem
from console.services import Services

router = APIRouter(tags=["jobs"])
LOOK_SECONDS = 0.25
KNOWN_SECONDS = 5.0


@router.websocket("/ws/training/{session_id}")
async def training(socket: WebSocket, session_id: str) -> None:
    """Frames of a job, a JSON object each; the last one has the state that the job ended in.

    The client offers the subprotocols `telltale` and `bearer.<JWT>` or `ticket.<ticket>`.
    """
    try:
        console, who = await admit(socket, ANALYSIS_READ)
        await run_in_threadpool(job_row, console.accounts, who, session_id)
        with console.streams.hold(who.subject):
            await accept(socket)
            await _follow(socket, console, who, session_id)
    except Problem as problem:
        await deny(socket, problem)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return


async def _follow(socket: WebSocket, console: Services, who: Caller, job_id: str) -> None:
    seq, looked = 0, monotonic()
    async with until_gone(socket) as gone:
        while not (gone.done() or console.stopping):
            frames = await run_in_threadpool(frames_after, console.accounts, job_id, seq)
            for frame in frames:
                await send(socket, orjson.dumps(frame).decode())
                seq = frame["seq"]
                if frame["state"] in ENDED:
                    await socket.close(1000)
                    return
            if monotonic() - looked > KNOWN_SECONDS:
                looked = monotonic()
                if not await run_in_threadpool(still_known, console, who):
                    await socket.close(1008)
                    return
            if not frames:
                await asyncio.wait((gone,), timeout=LOOK_SECONDS)
        if not gone.done():
            await socket.close(1001)
