"""Commands to the scorer, and their receipts: the console acts as any operator does."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import insert, select

from console.answers import ACCEPTED, Word, json_answer, plain, rfc3339
from console.auth.callers import Console, KindName, PathId, needs
from console.auth.permissions import MODEL_READ, MODEL_WRITE, Caller
from console.gateway.producing import Producing
from console.live.state import now_ms
from console.live.waiting import Inbox
from console.problems import Problem, not_found
from console.routes.gateway import Prefer, seconds_of
from console.routes.profiles import found
from console.routes.verdicts import moment
from console.services import Services
from console.store import audit
from console.store import tables as t
from processor.operations.profile_command import ROLES, command_of, unconfirmed_roles
from processor.operations.profile_command import Request as Wanted
from processor.topics import Topics
from schemas import CommandName

router = APIRouter(prefix="/api/v1", tags=["commands"])
Writer = Annotated[Caller, Depends(needs(MODEL_WRITE))]
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
FORGET_SECONDS = 30.0


class CommandBody(BaseModel):
    """What is asked for."""

    command: Literal["train", "retrain", "rollback", "suppress", "resume", "adopt", "hold"]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        None, description="For rollback: the version to go back to."
    )
    until: Word | None = Field(None, description="For suppress and hold: RFC 3339.")
    reason: Word | None = None

    model_config = {
        "json_schema_extra": {
            "examples": [
                {"command": "retrain", "reason": "the pump was replaced"},
                {"command": "suppress", "until": "2027-01-01T06:00:00Z", "reason": "maintenance"},
            ]
        }
    }


@router.post("/profiles/{kind}/{profile_id}/commands", responses=ACCEPTED)
async def post_command(
    request: Request,
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    body: CommandBody,
    prefer: Prefer = None,
) -> Response:
    """Send a command; 200 with its receipts, 202 where none came in time."""
    found(console, who, kind, profile_id)
    until = None if body.until is None else moment(body.until, "until")
    wanted = Wanted(body.command, profile_id, kind, body.version, until, body.reason)
    return await _command(request, console, who, wanted, seconds_of(prefer))


@router.delete("/profiles/{kind}/{profile_id}", responses=ACCEPTED)
async def forget(
    request: Request,
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    prefer: Prefer = None,
) -> Response:
    """Forget a profile; 200 with the receipts of scorer, retrainer and console, 202 without one.

    The rows of the console's own store go when the scorer says `forgotten`; its receipt says how
    many.
    """
    found(console, who, kind, profile_id)
    seconds = FORGET_SECONDS if prefer is None else seconds_of(prefer)
    return await _command(request, console, who, Wanted("forget", profile_id, kind), seconds)


@router.get("/commands/{command_id}")
def get_command(console: Console, who: Reader, command_id: PathId) -> Response:
    """The receipts of a command."""
    told = t.lifecycle_events
    with console.database.read() as connection:
        sent = connection.execute(
            select(t.commands).where(t.commands.c.command_id == command_id)
        ).first()
        rows = connection.execute(
            select(told).where(told.c.command_id == command_id).order_by(told.c.at)
        ).mappings()
        receipts = [plain(row) | {"at": rfc3339(row["at"])} for row in rows]
    if sent is None:
        # That of a forgotten profile is gone with it; its receipts are not, for whoever sent it.
        if not receipts or (
            who.profile_prefix and not audit.did(console.accounts, who.subject, command_id)
        ):
            raise not_found("there is no such command")
    elif not who.sees(sent.profile_id):
        raise not_found("there is no such command")
    return json_answer({"command_id": command_id, "receipts": receipts})


async def _command(
    request: Request, console: Services, who: Caller, wanted: Wanted, seconds: float
) -> Response:
    command_id = str(uuid4())
    if wanted.command not in set(CommandName):
        raise Problem(
            422, "unknown_command", f"command: this version's scorer does not know {wanted.command}"
        )
    with console.state.waiting.for_any(command_id) as inbox:
        await run_in_threadpool(note, console, who, wanted, command_id, request)
        await send(console.producing, Topics(console.kafka.topic_prefix), wanted, command_id)
        done = await receipts_of(console, inbox, wanted.command, seconds)
        receipts = [told.event.model_dump(mode="json") for told in inbox.events]
    for receipt in receipts:
        receipt["at"] = rfc3339(receipt["at"])
    body: dict[str, Any] = {"command_id": command_id, "receipts": receipts}
    location = {"Location": f"/api/v1/commands/{command_id}"}
    return json_answer(body, 200 if done else 202, location)


def note(console: Services, who: Caller, wanted: Wanted, command_id: str, request: Request) -> None:
    row = {
        "command_id": command_id,
        "command": wanted.command,
        "kind": wanted.kind or "",
        "profile_id": wanted.profile_id,
        "by": who.subject,
        "issued_at": now_ms(),
    }
    with console.database.write() as connection:
        connection.execute(insert(t.commands).values(row))
    console.note(who, f"profile.{wanted.command}", command_id, "sent", request)


async def send(producing: Producing, topics: Topics, wanted: Wanted, command_id: str) -> None:
    """To every partition: which of them holds the profile is for the scorer to know."""
    value = command_of(wanted, command_id).model_dump_json().encode()
    count = await run_in_threadpool(producing.partitions, topics.commands)
    key = wanted.profile_id.encode()
    sent = [producing.send(topics.commands, key, value, number) for number in range(count)]
    await asyncio.gather(*sent)


async def receipts_of(console: Services, inbox: Inbox, command: str, seconds: float) -> bool:
    """Wait until a command is confirmed: what is forgotten, by both roles and the console."""
    deadline = monotonic() + seconds
    while True:
        events = [happened.event for happened in inbox.events]
        confirmed = bool(events)
        if command == "forget" and any(event.event == "forgotten" for event in events):
            confirmed = not unconfirmed_roles(events, (*ROLES, "console"))
        if confirmed:
            return True
        left = deadline - monotonic()
        if left <= 0 or console.state.waiting.closing:
            return False
        await inbox.more(left)
