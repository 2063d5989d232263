"""Rooms: what people say of a profile, a verdict or a job, over REST and live."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import insert, select, tuple_
from starlette.websockets import WebSocketDisconnect

from console.answers import After, Limit, Word, json_answer, page, place, plain, rfc3339
from console.auth.callers import Console, ModelId, Root, needs, still_known
from console.auth.permissions import LABEL_WRITE, Caller
from console.jobs.reading import job_row
from console.jobs.sockets import accept, admit, deny, send
from console.lab.tables import messages
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.services import Services
from console.store import tables as t
from models.features import KINDS

router = APIRouter(tags=["rooms"])
Talker = Annotated[Caller, Depends(needs(LABEL_WRITE))]
RoomId = ModelId
"""A room's name in a path: a kind and a colon may stand before an id of any length."""
LOOK_SECONDS = 0.5
KNOWN_SECONDS = 5.0
SHOWN = ("id", "room", "text", "by", "at")
FIRST = 200
"""Messages that a WebSocket is told of those before it."""


class MessageBody(BaseModel):
    """What is said."""

    text: Annotated[Word, Field(min_length=1, max_length=2000)]


@dataclass(frozen=True)
class Room:
    """Where something is said; kind and profile_id are those that it is about, if there is one."""

    name: str
    kind: str | None = None
    profile_id: str | None = None


def room_of(root: Services, console: Services, who: Caller, name: str) -> Room:
    """The room of a profile (`<kind>:<profile_id>`), a verdict's id, or a job's.

    Raises:
        Problem: 404, there is no such thing that the caller sees.
    """
    kind, colon, profile_id = name.partition(":")
    if colon and kind in KINDS:
        held = t.profiles.c
        with console.database.read() as connection:
            there = connection.execute(
                select(held.kind).where(held.kind == kind, held.profile_id == profile_id)
            ).first()
        if there is None or not who.sees(profile_id):
            raise not_found("there is no such profile")
        return Room(name, kind, profile_id)
    with console.database.read() as connection:
        row = connection.execute(
            select(t.verdicts.c.kind, t.verdicts.c.profile_id).where(
                t.verdicts.c.verdict_id == name
            )
        ).first()
    if row is not None and who.sees(row.profile_id):
        return Room(name, row.kind, row.profile_id)
    try:
        job_row(root.accounts, who, name)
    except Problem:
        raise not_found("there is no such profile, verdict or job") from None
    return Room(name)


@router.get("/api/v1/rooms/{room_id}/messages")
def list_messages(
    request: Request,
    root: Root,
    console: Console,
    who: Talker,
    room_id: RoomId,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """What was said in a room, the oldest first."""
    room = room_of(root, console, who, room_id)
    at = place(after, int, str)
    rows = _read(console, room, None if at is None else (at[0], at[1]), limit + 1)
    cursors = [[row["at"], row["id"]] for row in rows]
    return page(request, [shown(row) for row in rows], limit, cursors)


@router.post("/api/v1/rooms/{room_id}/messages", status_code=201)
def say(
    request: Request, root: Root, console: Console, who: Talker, room_id: RoomId, body: MessageBody
) -> Response:
    """Say something in a room."""
    room = room_of(root, console, who, room_id)
    row = _said(console, who, room, body.text)
    root.note(who, "room.say", row["id"], "done", request)
    return json_answer(shown(row), 201)


# An id may hold a slash; unlike the path of a request, that of a WebSocket comes decoded.
@router.websocket("/ws/chat/{room_id:path}")
async def chat(socket: WebSocket, room_id: str) -> None:
    """Messages of a room as JSON, the last ones first and then as they come.

    What the client sends as `{"text": …}` is said in the room.
    """
    try:
        root, who = await admit(socket, LABEL_WRITE)
        console = root.of(who)
        room = await run_in_threadpool(room_of, root, console, who, room_id)
        with root.streams.hold(who.subject):
            await accept(socket)
            listening = asyncio.ensure_future(_listen(socket, root, console, who, room.name))
            try:
                await _tell(socket, root, console, who, room, listening)
            finally:
                listening.cancel()
    except Problem as problem:
        await deny(socket, problem)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return


async def _listen(
    socket: WebSocket, root: Services, console: Services, who: Caller, name: str
) -> None:
    """Say what the client sends, until it goes; what is no message is not."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            body = MessageBody.model_validate_json(message.get("text") or "")
        except ValueError:
            continue
        try:
            console.requests.take(who.subject)
        except Problem:
            continue
        try:
            # What the room is about may have been forgotten since.
            room = await run_in_threadpool(room_of, root, console, who, name)
        except Problem:
            await socket.close(1008)
            return
        await run_in_threadpool(_said, console, who, room, body.text)


async def _tell(
    socket: WebSocket,
    root: Services,
    console: Services,
    who: Caller,
    room: Room,
    gone: asyncio.Future[None],
) -> None:
    rows = await run_in_threadpool(_last, console, room)
    at, looked = (0, ""), monotonic()
    while not (gone.done() or root.stopping):
        for row in rows:
            at = row["at"], row["id"]
            await send(socket, orjson.dumps(shown(row)).decode())
        if monotonic() - looked > KNOWN_SECONDS:
            looked = monotonic()
            if not await run_in_threadpool(still_known, console, who):
                await socket.close(1008)
                return
        await asyncio.wait((gone,), timeout=LOOK_SECONDS)
        rows = await run_in_threadpool(_read, console, room, at, FIRST)
    if not gone.done():
        await socket.close(1001)


def _said(console: Services, who: Caller, room: Room, text: str) -> dict[str, Any]:
    row = {
        # In the order of time, so that two of one millisecond keep theirs.
        "id": f"{time_ns():x}-{uuid.uuid4().hex[:8]}",
        "room": room.name,
        "kind": room.kind,
        "profile_id": room.profile_id,
        "text": text,
        "by": who.email or who.subject,
        "organization_id": who.organization_id,
        "at": now_ms(),
    }
    with console.database.write() as connection:
        connection.execute(insert(messages).values(row))
    return row


def _read(
    console: Services, room: Room, after: tuple[int, str] | None, most: int
) -> list[dict[str, Any]]:
    held = messages.c
    query = select(messages).where(held.room == room.name)
    if after is not None:
        query = query.where(tuple_(held.at, held.id) > tuple_(*after))
    with console.database.read() as connection:
        rows = connection.execute(query.order_by(held.at, held.id).limit(most)).mappings()
        return [plain(row) for row in rows]


def _last(console: Services, room: Room) -> list[dict[str, Any]]:
    held = messages.c
    newest = (
        select(messages)
        .where(held.room == room.name)
        .order_by(held.at.desc(), held.id.desc())
        .limit(FIRST)
    )
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(newest).mappings()][::-1]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A message as the API has it."""
    return {name: row[name] for name in SHOWN} | {"at": rfc3339(row["at"])}
